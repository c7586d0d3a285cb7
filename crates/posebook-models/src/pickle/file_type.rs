//! Recognizes files of the wrong kind by their first bytes, and says what to do about them.

/// Number of first bytes that suffice to recognize a file.
pub const START_BYTES: u64 = 4096;

/// Describes a file of the wrong kind, as a text to follow "this is". `start` is its first [`START_BYTES`], or all of a
/// shorter file. `None` for pickles, zips and unknown files.
pub fn describe_foreign_file(start: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| start.starts_with(with);
    Some(match start {
        [] => "an empty file: the download or the copy failed; get it again",
        [0x1f, 0x8b, ..] => "a file compressed by gzip; unpack it (`gunzip`)",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "a file compressed by xz; unpack it (`xz -d`)",
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] => {
            "a file compressed by bzip2; unpack it (`bunzip2`)"
        }
        [0x5d, 0, 0, ..] => "a file compressed by lzma; unpack it (`xz --format=lzma -d`)",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "a file compressed by zstd; unpack it (`zstd -d`)",
        [0x04, 0x22, 0x4d, 0x18, ..] => "a file compressed by lz4; unpack it (`lz4 -d`)",
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            "data compressed by zlib, as `joblib.dump(..., compress=True)` writes it; load it with joblib and save it \
             without compression"
        }
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file (.h5, or MATLAB 7.3's .mat); save its arrays as .npz",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            "numpy's .npy, a single array; save what is needed as .npz"
        }
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => "a TensorFlow Lite model; give PyTorch's checkpoint",
        [b'7', b'z', 0xbc, 0xaf, ..] => "a 7z archive; unpack it, and give the file inside",
        [b'R', b'a', b'r', b'!', ..] => "a RAR archive; unpack it, and give the file inside",
        _ if begins(b"version https://git-lfs") => {
            "a git-LFS pointer, not the file itself; run `git lfs pull` where it was cloned, or download the file"
        }
        _ if begins(b"MATLAB 5.0") => "a MATLAB file; save its arrays as .npz",
        _ if begins(b"%PDF") => "a PDF document; give the file itself",
        _ if is_safetensors(start) => {
            "a safetensors file; a checkpoint of that form must be named .safetensors, and a body must not be one"
        }
        _ if is_tar(start) => "a tar archive; unpack it, and give the file inside",
        _ => return describe_foreign_text(start),
    })
}

fn describe_foreign_text(start: &[u8]) -> Option<&'static str> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    if ["<!doctype html", "<html", "<head", "<script", "<body"].iter().any(|with| begins(with)) {
        return Some(
            "a web page (HTML), not the file: the site wanted a login or an agreement first; download it in a browser, \
             and give that file",
        );
    }
    if begins("<") {
        return Some("XML or a web page, not the file; download it again, in a browser");
    }
    // neither character is an opcode
    if matches!(text.first(), Some(b'{' | b'[')) {
        return Some("JSON, not the file: perhaps what a site answered instead of it; download it again");
    }
    let is_text =
        !text.is_empty() && text.iter().all(|byte| matches!(byte, b'\n' | b'\r' | b'\t' | b' '..=b'~'));
    if is_text && has_crlf(text) {
        return Some(
            "a file whose line ends were converted to CRLF by a text-mode transfer; copy it again as binary, or undo it: \
             `sed -i 's/\\r$//' FILE`",
        );
    }
    None
}

/// Whether every line ends in CRLF. Lines of a protocol 0 pickle end in LF.
fn has_crlf(text: &[u8]) -> bool {
    let mut ends =
        text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index).peekable();
    ends.peek().is_some() && ends.all(|index| index > 0 && text[index - 1] == b'\r')
}

/// Safetensors: the length of the header in 8 bytes, then the header in JSON.
fn is_safetensors(start: &[u8]) -> bool {
    let Some((length, rest)) = start.split_first_chunk::<8>() else { return false };
    let length = u64::from_le_bytes(*length);
    (2..1 << 27).contains(&length) && rest.first() == Some(&b'{')
}

fn is_tar(start: &[u8]) -> bool {
    start.get(257..262) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_types_are_recognized() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let safetensors = [&40u64.to_le_bytes()[..], b"{\"a\":{\"dtype\":\"F32\"}}"].concat();
        for (start, words) in [
            (&b""[..], "an empty file"),
            (b"<!DOCTYPE html>\n<html>", "a web page (HTML)"),
            (b"\xef\xbb\xbf\n <html lang='en'>", "a web page (HTML)"),
            (b"<?xml version='1.0'?><Error>", "XML"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "git lfs pull"),
            (b"{\"message\": \"Not Found\"}", "JSON"),
            (b"\x1f\x8b\x08\0", "gunzip"),
            (b"\x78\x9c\xed\xbd", "joblib"),
            (b"\xfd7zXZ\0\0", "xz -d"),
            (b"BZh91AY&SY", "bunzip2"),
            (b"\x93NUMPY\x01\0", ".npz"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"(dp0\r\nS'a'\r\np1\r\nI1\r\ns.", "CRLF"),
            (&tar, "tar archive"),
            (&safetensors, ".safetensors"),
        ] {
            let found = describe_foreign_file(start).unwrap_or("nothing");
            assert!(found.contains(words), "{start:?}: {found}");
        }
    }

    #[test]
    fn pickles_and_zips_are_not_foreign() {
        let zlib_like_text = b"(dp0\nS'x'\np1\nI1\ns.";
        for start in
            [&b"\x80\x02}q\0."[..], b"\x80\x04\x95", zlib_like_text, b"PK\x03\x04", b"}.", b"cnumpy\n"]
        {
            assert_eq!(describe_foreign_file(start), None, "{start:?}");
        }
    }
}
