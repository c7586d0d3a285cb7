//! Signs webhooks after the Standard Webhooks specification
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>). In: id, time and body of a
//! message. Out: its headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use posebook_core::scratch;
use sha2::{Digest, Sha256};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// File of the data folder with the secret.
const FILE: &str = "webhook-secret";
/// Begins a secret in text.
const PREFIX: &str = "whsec_";
/// Length of a secret, bytes.
const LENGTH: usize = 32;
/// Block length of SHA-256, bytes.
const BLOCK: usize = 64;

/// The key that webhooks are signed with.
pub struct WebhookSecret {
    key: Vec<u8>,
}

impl WebhookSecret {
    /// The secret of the data folder, `webhook-secret`; made at the first time, readable by its owner only. Receivers get its
    /// text, `whsec_` and base64.
    ///
    /// # Errors
    /// If the file cannot be read or written, or is not a secret.
    pub fn load_or_create(folder: &Path) -> io::Result<WebhookSecret> {
        // threads that find no secret make one and the same; other processes are kept away by the lock of the data folder
        static MAKING: Mutex<()> = Mutex::new(());
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => WebhookSecret::parse(text.trim()).ok_or_else(|| {
                let reason = format!(
                    "{} is not a secret of the form {PREFIX}BASE64; remove it, and a new one is made",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, reason)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = vec![0; LENGTH];
                fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
                let temporary = scratch::temporary_path(&path);
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
                let written =
                    writeln!(file, "{PREFIX}{}", STANDARD.encode(&key)).and_then(|()| file.sync_all());
                let renamed = written.and_then(|()| fs::rename(&temporary, &path));
                if renamed.is_err() {
                    // the first error is reported
                    let _ = fs::remove_file(&temporary);
                }
                renamed?;
                fs::File::open(folder)?.sync_all()?;
                Ok(WebhookSecret { key })
            }
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<WebhookSecret> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        // limits of the specification
        (24..=64).contains(&key.len()).then_some(WebhookSecret { key })
    }

    /// Headers of the message `id` that is sent at `seconds` since 1970.
    pub(super) fn headers(&self, id: &str, seconds: i64, body: &[u8]) -> [(&'static str, String); 4] {
        [
            ("Content-Type", "application/json".into()),
            ("Webhook-Id", id.into()),
            ("Webhook-Timestamp", seconds.to_string()),
            ("Webhook-Signature", self.sign(id, seconds, body)),
        ]
    }

    /// The signature of a message, `v1,` and base64.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let message = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        format!("v1,{}", STANDARD.encode(hmac_sha256(&self.key, &message)))
    }
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let digest = |mask: u8, message: &[u8]| {
        Sha256::new().chain_update(block.map(|byte| byte ^ mask)).chain_update(message).finalize()
    };
    digest(0x5c, &digest(0x36, message)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::hexadecimal;

    /// Cases 1, 2 and 6 of RFC 4231.
    #[test]
    fn hmac_gives_the_values_of_rfc_4231() {
        for (key, message, expected) in [
            (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hexadecimal(&hmac_sha256(&key, message.as_bytes())), expected);
        }
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn a_message_has_the_signature_of_the_reference() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let first = WebhookSecret::load_or_create(folder.path()).unwrap();
        let again = WebhookSecret::load_or_create(folder.path()).unwrap();
        assert!(first.key == again.key && first.key.len() == LENGTH && first.key != [0; LENGTH]);
        let path = folder.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        for damaged in ["", "whsec_", "whsec_AAAA", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            fs::write(&path, damaged).unwrap();
            let error = WebhookSecret::load_or_create(folder.path()).err().unwrap().to_string();
            assert!(error.contains("webhook-secret") && error.contains("remove it"), "{error}");
        }
    }
}
