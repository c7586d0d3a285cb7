//! The line of `curl` that repeats a job.

use crate::job::JobRequest;

/// A shell command that posts `request` to the server at `origin`.
pub fn line(origin: &str, needs_token: bool, request: &JobRequest) -> String {
    let request = JobRequest { prediction: None, ..request.clone() };
    let body = serde_json::to_string(&request).unwrap_or_default();
    let token = if needs_token { "-H \"Authorization: Bearer $POSEBOOK_TOKEN\" " } else { "" };
    let address = quoted(&format!("{origin}/v1/jobs"));
    format!("curl {token}-H 'Content-Type: application/json' -d {} {address}", quoted(&body))
}

/// `text` as one word of a POSIX shell. Control characters do not occur in JSON text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobKind, Source};
    use serde_json::Map;
    use std::process::Command;

    #[test]
    fn a_shell_reads_the_request_back_from_the_line() {
        let mut settings = Map::new();
        settings.insert("a'b".to_string(), "$(touch x) `y` \" \\ \n ; &".into());
        let request = JobRequest {
            kind: JobKind::Track,
            source: vec![Source::Path("'; echo pwned; '$HOME".to_string())],
            boxes: None,
            experiment: None,
            settings,
            priority: 0,
            webhook: None,
            webhook_events: Vec::new(),
            keep: None,
            prediction: None,
        };
        let line = line("http://127.0.0.1:7878", true, &request);
        let script =
            format!("curl() {{ for word; do printf '%s\\n' \"$word\"; done; }}\nPOSEBOOK_TOKEN=t\n{line}");
        let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words: Vec<&str> = text.lines().collect();
        assert_eq!(words[..4], ["-H", "Authorization: Bearer t", "-H", "Content-Type: application/json"]);
        assert_eq!(words[4], "-d");
        assert_eq!(serde_json::from_str::<JobRequest>(words[5]).unwrap(), request);
        assert_eq!(words[6..], ["http://127.0.0.1:7878/v1/jobs"]);
    }
}
