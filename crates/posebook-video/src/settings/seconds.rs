//! A time in seconds as written in settings.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Seconds, written as a number or, as in PHALP, with the suffix `s`: `10`, `1.5`, `"10s"`.
///
/// PHALP drops the last character, whatever it is, and parses the rest as an integer, so that `"10"` means 1 s and
/// `"1.5s"` is an error; here `"10"` is 10 s and `"1.5s"` is 1.5 s.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
pub struct Seconds(pub f64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seconds, String> {
        let text = text.trim();
        text.strip_suffix('s')
            .unwrap_or(text)
            .trim_end()
            .parse()
            .map(Seconds)
            .map_err(|_| format!("`{text}` is not a time; write seconds, like 10 or \"10s\""))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seconds, D::Error> {
        struct SecondsVisitor;
        impl Visitor<'_> for SecondsVisitor {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, like 10, 1.5 or \"10s\"")
            }
            fn visit_f64<E: de::Error>(self, secs: f64) -> Result<Seconds, E> {
                Ok(Seconds(secs))
            }
            fn visit_i64<E: de::Error>(self, secs: i64) -> Result<Seconds, E> {
                Ok(Seconds(secs as f64))
            }
            fn visit_u64<E: de::Error>(self, secs: u64) -> Result<Seconds, E> {
                Ok(Seconds(secs as f64))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SecondsVisitor)
    }
}
