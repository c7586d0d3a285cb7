//! Parses one line into a row.

use posebook_core::person::LtwhBox;

/// Largest accepted frame number; a larger value is more likely a timestamp.
const MAX_FRAME: f64 = 100_000_000.0;
/// Whole numbers up to this are exact in double precision.
const MAX_WHOLE: i64 = 1 << 53;
/// Largest accepted coordinate, pixels.
const MAX_COORDINATE: f64 = 1e9;
/// Columns with a meaning.
const KNOWN_COLUMNS: usize = 10;

/// One box, as written in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MotRow {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub frame: u64,
    /// Negative if unknown.
    pub id: i64,
    /// Columns 3 to 6.
    pub bbox: LtwhBox,
    /// Column 7.
    pub confidence: Option<f64>,
    /// Column 8: a class, or a world position.
    pub class: Option<f64>,
    /// Column 9: the visible share, or a world position.
    pub visibility: Option<f64>,
    /// Number of columns.
    pub columns: usize,
}

impl MotRow {
    /// Parses the content of one line, whose number is `line`; columns from the eleventh on are ignored.
    ///
    /// Columns are separated by commas, semicolons, tabs or blanks; numbers may be quoted.
    ///
    /// # Errors
    /// If there are fewer than six columns, or a value is invalid: which one, and what to do.
    pub fn parse(line: usize, content: &str) -> Result<MotRow, String> {
        let columns = columns(content);
        if columns.len() < 6 {
            return Err(format!("{} columns, but at least 6 are needed", columns.len()));
        }
        let number = |index: usize, name: &str| number(columns[index], name);
        let optional =
            |index: usize, name: &str| (index < columns.len()).then(|| number(index, name)).transpose();
        let edge = |index: usize, name: &str| {
            let value = number(index, name)?;
            if value.abs() <= MAX_COORDINATE {
                Ok(value)
            } else {
                Err(format!("the {name} is {value}: larger than any image"))
            }
        };
        let side = |index: usize, name: &str| {
            let value = edge(index, name)?;
            if value >= 0.0 { Ok(value) } else { Err(format!("the {name} is {value}, below 0")) }
        };
        let row = MotRow {
            line,
            frame: frame(columns[0])?,
            id: whole_number(columns[1], "identity")?,
            bbox: LtwhBox {
                left: edge(2, "left edge")?,
                top: edge(3, "top edge")?,
                width: side(4, "width")?,
                height: side(5, "height")?,
            },
            confidence: optional(6, "confidence")?,
            class: optional(7, "class")?,
            visibility: optional(8, "visibility")?,
            columns: columns.len(),
        };
        optional(KNOWN_COLUMNS - 1, "tenth column")?;
        Ok(row)
    }
}

/// The columns of a line, without an empty one after a trailing separator.
fn columns(content: &str) -> Vec<&str> {
    let content = content.trim();
    let split = |separator: char| -> Vec<&str> {
        let mut columns: Vec<&str> = content.split(separator).map(unquoted).collect();
        if columns.last() == Some(&"") {
            columns.pop();
        }
        columns
    };
    let separator = [';', ',', '\t'].into_iter().find(|separator| content.contains(*separator));
    match separator {
        // blanks between numbers, with some tabs for alignment
        Some('\t') if split('\t').iter().any(|column| column.contains(' ')) => split_whitespace(content),
        Some(separator) => split(separator),
        None => split_whitespace(content),
    }
}

fn split_whitespace(content: &str) -> Vec<&str> {
    content.split_whitespace().map(unquoted).collect()
}

/// A column without surrounding blanks and quotes.
fn unquoted(column: &str) -> &str {
    let column = column.trim();
    let inside = |mark: char| column.strip_prefix(mark)?.strip_suffix(mark);
    inside('"').or_else(|| inside('\'')).map_or(column, str::trim)
}

fn number(column: &str, name: &str) -> Result<f64, String> {
    let value: f64 = column.parse().map_err(|_| not_a_number(column, name))?;
    if value.is_finite() { Ok(value) } else { Err(format!("the {name} is {value}")) }
}

fn not_a_number(column: &str, name: &str) -> String {
    if column.is_empty() {
        return format!("the {name} is empty");
    }
    if let Some(better) =
        Some(column.replace(',', ".")).filter(|text| text != column && text.parse::<f64>().is_ok())
    {
        return format!("the {name} `{column}` has a decimal comma; write {better}");
    }
    let hint = if column.contains(|letter: char| letter.is_alphabetic()) && !column.starts_with("0x") {
        " (a heading? remove the line)"
    } else {
        ""
    };
    format!("the {name} `{column}` is not a number{hint}")
}

fn frame(column: &str) -> Result<u64, String> {
    let value = number(column, "frame")?;
    if value.fract() != 0.0 || value < 1.0 {
        return Err(format!("the frame is {value} and not a whole number from 1 on"));
    }
    if value > MAX_FRAME {
        return Err(format!("the frame is {value}: a timestamp? give the frame's number, counted from 1"));
    }
    Ok(value as u64)
}

fn whole_number(column: &str, name: &str) -> Result<i64, String> {
    let fits = |value: &i64| value.unsigned_abs() <= MAX_WHOLE as u64;
    if let Some(value) = column.parse::<i64>().ok().filter(fits) {
        return Ok(value);
    }
    let value = number(column, name)?;
    if value.fract() != 0.0 || value.abs() > MAX_WHOLE as f64 {
        return Err(format!("the {name} is {value} and not a whole number up to {MAX_WHOLE}"));
    }
    Ok(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content: &str) -> Result<MotRow, String> {
        MotRow::parse(1, content)
    }

    #[test]
    fn separators_and_quotes_are_interchangeable() {
        let row = parse("1,2,10.5,20,30,40,1,1,0.5").unwrap();
        assert_eq!((row.frame, row.id, row.bbox.left, row.bbox.height), (1, 2, 10.5, 40.0));
        assert_eq!((row.confidence, row.class, row.visibility), (Some(1.0), Some(1.0), Some(0.5)));
        for same in [
            "1;2;10.5;20;30;40;1;1;0.5",
            "1\t2\t10.5\t20\t30\t40\t1\t1\t0.5",
            "1 2 10.5 20 30 40 1 1 0.5",
            " 1 2\t10.5  20 30 40\t1 1 0.5 ",
            "1, 2, 10.5, 20, 30, 40, 1, 1, 0.5,",
            "\"1\",\"2\",\"10.5\",\"20\",\"30\",\"40\",'1','1',\"0.5\"",
            "1.0e+00,2.000000000000000000e+00,1.05E1,20.,3e1,+40,1.0,1,.5",
            "1,2,\u{a0}10.5,20,30,40,1,1,0.5",
        ] {
            assert_eq!(parse(same).unwrap(), row, "{same}");
        }
        let longer = parse("1,2,10.5,20,30,40,1,1,0.5,7,8,person").unwrap();
        assert_eq!(longer, MotRow { columns: 12, ..row });
    }

    #[test]
    fn identities_are_exact() {
        assert_eq!(parse("1,5000000000,1,1,2,2").unwrap().id, 5_000_000_000);
        assert_eq!(parse("1,9007199254740991,1,1,2,2").unwrap().id, 9_007_199_254_740_991);
        assert_eq!(parse("1,-1,1,1,2,2").unwrap().id, -1);
        assert!(parse("1,1e300,1,1,2,2").unwrap_err().contains("the identity is 1"));
    }

    #[test]
    fn invalid_columns_are_named() {
        for (line, message) in [
            ("1,1,0,0,5", "5 columns, but at least 6 are needed"),
            ("0,1,0,0,5,5", "the frame is 0 and not a whole number from 1 on"),
            ("1.5,1,0,0,5,5", "the frame is 1.5 and not a whole number"),
            ("1700000000000,1,0,0,5,5", "the frame is 1700000000000: a timestamp?"),
            ("1,1.5,0,0,5,5", "the identity is 1.5 and not a whole number"),
            ("1,1,NaN,0,5,5", "the left edge is NaN"),
            ("1,1,0,inf,5,5", "the top edge is inf"),
            ("1,1,1e300,0,5,5", "larger than any image"),
            ("1,1,0,0,-5,5", "the width is -5, below 0"),
            ("1,1,0,0,5,5,nan", "the confidence is NaN"),
            ("1;1;10,5;10;20;40", "the left edge `10,5` has a decimal comma; write 10.5"),
            ("1\t1\t\t10\t20\t40", "the left edge is empty"),
            ("1,1,0,0,5,5,,", "the confidence is empty"),
            ("frame,id,x,y,w,h", "the frame `frame` is not a number (a heading? remove the line)"),
            ("0x1,1,0,0,5,5", "the frame `0x1` is not a number"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(message), "{line}: {error}");
        }
    }
}
