//! Names of sources for display: the last parts of paths and addresses.

use percent_encoding::percent_decode_str;

/// The last component of a path of Unix or Windows, without a separator at its end.
pub fn last_part(path: &str) -> &str {
    let trimmed = path.trim_end_matches(['/', '\\']);
    trimmed.rsplit(['/', '\\']).next().unwrap_or(trimmed)
}

/// The last component of an address, percent-decoded; the whole address if it has none. The address has no query, see
/// `crate::log::address`.
pub fn last_part_of_address(address: &str) -> String {
    match last_part(address) {
        "" => address.to_owned(),
        name => percent_decode_str(name).decode_utf8_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_a_path_is_its_name() {
        for (path, name) in [
            ("/a/b.mp4", "b.mp4"),
            (r"C:\Users\me\a b.mp4", "a b.mp4"),
            (r"\\nas\clips\", "clips"),
            ("b.mp4", "b.mp4"),
            ("", ""),
            ("/", ""),
        ] {
            assert_eq!(last_part(path), name, "{path}");
        }
    }

    #[test]
    fn the_last_part_of_an_address_is_decoded() {
        assert_eq!(last_part_of_address("https://example.org/clips/a%20b.mp4"), "a b.mp4");
        assert_eq!(last_part_of_address("https://example.org/clips/"), "clips");
    }
}
