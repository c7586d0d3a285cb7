//! Natural order of file names: numbers in names are compared by value.

use std::cmp::Ordering;

/// Compares two names byte by byte, runs of digits by their value: `frame9` comes before `frame10`. Names need not be UTF-8.
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let digits = |name: &[u8]| name.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits_a, digits_b) = (digits(a), digits(b));
        if digits_a > 0 && digits_b > 0 {
            let order = compare_numbers(&a[..digits_a], &b[..digits_b]).then_with(|| digits_a.cmp(&digits_b));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[digits_a..], &b[digits_b..]);
            continue;
        }
        match (a.split_first(), b.split_first()) {
            (Some((x, rest_a)), Some((y, rest_b))) if x == y => (a, b) = (rest_a, rest_b),
            (x, y) => return x.map(|(byte, _)| byte).cmp(&y.map(|(byte, _)| byte)),
        }
    }
}

/// Compares decimal numbers of any length.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let without_zeros = |number: &[u8]| {
        let zeros = number.iter().take_while(|&&digit| digit == b'0').count();
        number[zeros..].to_vec()
    };
    let (a, b) = (without_zeros(a), without_zeros(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let mut names =
            ["f10.png", "f9.png", "f09.png", "e.png", "f9a.png", "f.png", "f1b2.png", "f1b10.png"];
        names.sort_by(|a, b| compare(a.as_bytes(), b.as_bytes()));
        assert_eq!(
            names,
            ["e.png", "f.png", "f1b2.png", "f1b10.png", "f9.png", "f9a.png", "f09.png", "f10.png"]
        );
    }

    #[test]
    fn names_need_not_be_utf_8() {
        // "café" in Latin-1
        let mut names: [&[u8]; 5] = [
            b"caf\xe9_3.png",
            b"caf\xe9_10.png",
            b"caf\xe9_1.png",
            b"caf\xe8_2.png",
            "café_1.png".as_bytes(),
        ];
        names.sort_by(|a, b| compare(a, b));
        let expected: [&[u8]; 5] = [
            "café_1.png".as_bytes(),
            b"caf\xe8_2.png",
            b"caf\xe9_1.png",
            b"caf\xe9_3.png",
            b"caf\xe9_10.png",
        ];
        assert_eq!(names, expected);
    }
}
