//! Who may use the server: an access token in a file, and sessions of browsers that exchanged the token for a cookie.
//!
//! In: the options, the headers of requests. Out: allowed, or why not. Tokens and sessions are kept and compared as SHA-256
//! digests, so that the time of a comparison does not depend on them.

use crate::job::hexadecimal;
use crate::options::Options;
use crate::problem::Problem;
use crate::service::ServeError;
use axum::http::{HeaderMap, StatusCode, header};
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Name of the cookie with a session.
pub const COOKIE: &str = "posebook_session";

/// How long a session is valid after its last use.
const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Maximum number of sessions; a new one replaces the least recently used one.
const MAX_SESSIONS: usize = 1000;

/// Wrong tokens that one address may send within [`ATTEMPTS_WINDOW`].
const MAX_ATTEMPTS: u32 = 10;

/// See [`MAX_ATTEMPTS`].
const ATTEMPTS_WINDOW: Duration = Duration::from_secs(60);

/// Maximum number of IP addresses whose wrong tokens are counted.
const MAX_ADDRESSES: usize = 4096;

/// Minimum number of characters of a token: shorter ones could be guessed.
const MIN_TOKEN: usize = 16;

/// Maximum size of a token file, bytes.
const MAX_TOKEN_FILE: u64 = 4096;

/// SHA-256 of a token or session.
type Secret = [u8; 32];

/// Wrong tokens of an address since a time.
struct Attempts {
    since: Instant,
    wrong: u32,
}

/// The access token, the sessions, and the wrong tokens of the last minute.
pub struct Auth {
    token: Option<Secret>,
    made: bool,
    /// Digest of a session, and its last use.
    sessions: Mutex<HashMap<Secret, Instant>>,
    attempts: Mutex<HashMap<IpAddr, Attempts>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Auth").field("token", &self.token.map(|_| "...")).finish_non_exhaustive()
    }
}

impl Auth {
    /// Reads the token file of the options, or makes it: 256 random bits, mode 0600.
    ///
    /// # Errors
    /// If the address is not on loopback and there is no token file; if the file can be read by others, is not a regular
    /// file, or has no token of at least 16 characters. The message never has the token.
    pub fn new(options: &Options) -> Result<Auth, ServeError> {
        let (token, made) = match &options.token_file {
            Some(path) => {
                let (token, made) = read_or_make(path)?;
                (Some(digest(token.as_bytes())), made)
            }
            None if options.listen.ip().is_loopback() => (None, false),
            None => {
                return Err(ServeError::Options(format!(
                    "{}: this address can be reached from other machines, so an access token is needed: give --token-file \
                     FILE (it is made if it does not exist), or listen on 127.0.0.1",
                    options.listen
                )));
            }
        };
        Ok(Auth { token, made, sessions: Mutex::default(), attempts: Mutex::default() })
    }

    /// Whether a token is needed.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the token file was made by this start.
    #[must_use]
    pub fn made_token(&self) -> bool {
        self.made
    }

    /// Checks `Authorization: Bearer` and the session's cookie of a request.
    ///
    /// # Errors
    /// 401 `unauthenticated` without a valid one, 429 `too-many-attempts` after 10 wrong tokens within a minute.
    pub fn check(&self, headers: &HeaderMap, from: Option<IpAddr>) -> Result<(), Problem> {
        if !self.is_required() || session_of(headers).is_some_and(|session| self.is_session(session)) {
            return Ok(());
        }
        let Some(given) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthenticated("an access token is needed: send `Authorization: Bearer TOKEN`"));
        };
        match bearer(given.as_bytes()) {
            Some(token) => self.check_token(token, from),
            None => Err(unauthenticated(
                "the header Authorization has another scheme: send `Authorization: Bearer TOKEN`",
            )),
        }
    }

    /// Exchanges the token for a session: the value of a `Set-Cookie` header.
    ///
    /// # Errors
    /// As [`Auth::check`].
    pub fn sign_in(&self, token: &[u8], from: Option<IpAddr>) -> Result<String, Problem> {
        if self.is_required() {
            self.check_token(token, from)?;
        }
        let session = random_text().map_err(Problem::internal)?;
        let now = Instant::now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, used| now.duration_since(*used) < SESSION_LIFE);
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, used)| **used).map(|(session, _)| *session)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(digest(session.as_bytes()), now);
        let seconds = SESSION_LIFE.as_secs();
        Ok(format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}"))
    }

    /// Ends the session of a request: the value of a `Set-Cookie` header that removes the cookie.
    pub fn sign_out(&self, headers: &HeaderMap) -> String {
        if let Some(session) = session_of(headers) {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.remove(&digest(session.as_bytes()));
        }
        format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
    }

    fn is_session(&self, session: &str) -> bool {
        let now = Instant::now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        match sessions.get_mut(&digest(session.as_bytes())) {
            Some(used) if now.duration_since(*used) < SESSION_LIFE => {
                *used = now;
                true
            }
            _ => false,
        }
    }

    /// Compares a token, and counts it if it is wrong. While an address is blocked, its right token is refused as well:
    /// otherwise guessing would not be slowed down.
    fn check_token(&self, token: &[u8], from: Option<IpAddr>) -> Result<(), Problem> {
        let now = Instant::now();
        let from = from.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|_, attempts| now.duration_since(attempts.since) < ATTEMPTS_WINDOW);
        if let Some(Attempts { since, .. }) =
            attempts.get(&from).filter(|attempts| attempts.wrong >= MAX_ATTEMPTS)
        {
            let seconds = ATTEMPTS_WINDOW.saturating_sub(now.duration_since(*since)).as_secs() + 1;
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-attempts",
                format!("{MAX_ATTEMPTS} wrong tokens came from this address; try again in {seconds} s"),
            )
            .retry_after(seconds));
        }
        if self.token == Some(digest(token)) {
            return Ok(());
        }
        if attempts.len() < MAX_ADDRESSES || attempts.contains_key(&from) {
            attempts.entry(from).or_insert(Attempts { since: now, wrong: 0 }).wrong += 1;
        }
        Err(unauthenticated(
            "this is not the access token; it is in the file that the server was started with",
        ))
    }
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

fn digest(bytes: &[u8]) -> Secret {
    Sha256::digest(bytes).into()
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The session of the cookies of a request.
fn session_of(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// 256 random bits in hexadecimal.
fn random_text() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hexadecimal(&bytes))
}

/// The token in the file at `path`, and whether it was made now.
fn read_or_make(path: &Path) -> Result<(String, bool), ServeError> {
    let failed = |source| ServeError::Io { what: format!("the token file {}", path.display()), source };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(mut file) => {
            let token = random_text().map_err(failed)?;
            file.write_all(format!("{token}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            Ok((token, true))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((read(path)?, false)),
        Err(error) => Err(failed(error)),
    }
}

fn read(path: &Path) -> Result<String, ServeError> {
    let failed = |source| ServeError::Io { what: format!("the token file {}", path.display()), source };
    let refused = |why: &str| ServeError::Options(format!("the token file {}: {why}", path.display()));
    // a FIFO would block without O_NONBLOCK
    let file =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(refused(
            "other users can read or write it; run `chmod 600` on it, or name a file that does not exist",
        ));
    }
    let mut text = String::new();
    file.take(MAX_TOKEN_FILE).read_to_string(&mut text).map_err(failed)?;
    let token = text.trim();
    if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(
            "it has no token: one line of at least 16 visible ASCII characters; remove it and start again to make one",
        ));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use std::os::unix::fs::PermissionsExt;

    fn with_token(token: &str) -> Auth {
        Auth {
            token: Some(digest(token.as_bytes())),
            made: false,
            sessions: Mutex::default(),
            attempts: Mutex::default(),
        }
    }

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a header"))])
    }

    #[test]
    fn a_token_file_is_made_once_with_256_bits_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let (token, made) = read_or_make(&path).expect("made");
        assert!(made);
        assert_eq!(token.len(), 64);
        assert_eq!(std::fs::metadata(&path).expect("the file").mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&path).expect("read"), (token, false));
    }

    #[test]
    fn token_files_that_others_can_read_or_that_have_no_token_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        for (text, mode, why) in [
            ("0123456789abcdef0123", 0o640, "chmod 600"),
            ("0123456789abcdef0123", 0o604, "chmod 600"),
            ("", 0o600, "no token"),
            ("short\n", 0o600, "no token"),
            ("two words of enough length", 0o600, "no token"),
        ] {
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
            let error = read_or_make(&path).expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
            assert!(text.is_empty() || !error.contains(text.trim()), "{error}");
        }
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a FIFO");
        assert!(read_or_make(&fifo).expect_err("a FIFO").to_string().contains("regular"));
    }

    #[test]
    fn the_bearer_token_must_match_as_a_whole() {
        let auth = with_token("0123456789abcdef");
        for (value, right) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef ", true),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdefg", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
        ] {
            let answer = auth.check(&headers(header::AUTHORIZATION, value), None);
            assert_eq!(answer.is_ok(), right, "{value}");
            if let Err(problem) = answer {
                assert_eq!(problem.status, 401, "{value}");
                assert!(!problem.detail.contains("0123456789"), "{}", problem.detail);
            }
        }
    }

    #[test]
    fn a_session_lasts_until_it_is_signed_out_and_is_not_the_token() {
        let auth = with_token("0123456789abcdef");
        let cookie = auth.sign_in(b"0123456789abcdef", None).expect("signed in");
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(!cookie.contains("0123456789abcdef"), "{cookie}");
        let pair = cookie.split(';').next().expect("a pair");
        let sent = headers(header::COOKIE, &format!("a=b; {pair}; c=d"));
        assert_eq!(auth.check(&sent, None), Ok(()));
        assert!(auth.check(&headers(header::COOKIE, &format!("{pair}0")), None).is_err());
        auth.sign_out(&sent);
        assert_eq!(auth.check(&sent, None).expect_err("signed out").status, 401);
    }

    #[test]
    fn after_ten_wrong_tokens_an_address_waits_and_others_do_not() {
        let auth = with_token("0123456789abcdef");
        let (a, b) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        let wrong = headers(header::AUTHORIZATION, "Bearer wrong");
        let right = headers(header::AUTHORIZATION, "Bearer 0123456789abcdef");
        for _ in 0..10 {
            assert_eq!(auth.check(&wrong, a).expect_err("wrong").status, 401);
        }
        let limited = auth.check(&right, a).expect_err("limited");
        assert_eq!((limited.status, limited.name()), (429, "too-many-attempts"));
        assert!(limited.retry_after.is_some_and(|seconds| (1..=61).contains(&seconds)));
        assert_eq!(auth.check(&right, b), Ok(()));
    }

    #[test]
    fn sessions_are_bounded() {
        let auth = with_token("0123456789abcdef");
        for _ in 0..MAX_SESSIONS + 5 {
            auth.sign_in(b"0123456789abcdef", None).expect("signed in");
        }
        assert_eq!(auth.sessions.lock().expect("not poisoned").len(), MAX_SESSIONS);
    }
}
