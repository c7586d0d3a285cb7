//! Tables of results, SQL over them, and notebooks of texts, tables, figures and claims that are rendered as pages.
//!
//! The data flow: the rows of runs are appended to row logs and written as Parquet and CSV files into a report's folder;
//! SQL queries over these files answer the cells of a notebook; the answers are formatted, drawn and judged; the result is
//! a page as HTML and as Markdown, with its figures as SVG files and its verdicts as `claims.csv`.
//!
//! | module | content |
//! |---|---|
//! | [`tables`] | row types, row logs, Parquet and CSV files, SQL with Polars |
//! | [`cell`] | the cells of a notebook, parsed from TOML and checked with their queries, without data |
//! | [`report`] | answers a notebook from the tables of a folder: pages, figures, verdicts |
//! | [`mod@format`] | numbers as text: significant digits, bytes, durations |
//!
//! Only [`tables`] uses Polars, and no public item of the crate has one of its types. The crate depends on `posebook-core`
//! and on no other crate of the workspace: it knows nothing of decoding, networks (candle) and tracking, nor of how runs are
//! made. Pages are text that is computed from the tables: there is no web server, no JavaScript and no font or image from
//! elsewhere.

pub mod cell;
pub mod format;
pub mod report;
pub mod tables;
