//! How frames flow: when each was decoded, and what the sources hold for it.

use super::clips::clip;
use super::tests::settings;
use super::*;

#[test]
fn a_frame_says_when_it_was_decoded_and_a_source_what_its_buffers_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = clip("odd_gop.mp4").make(folder.path());
    for (mode, measured, buffers) in [
        ("stream-sequential", true, DEFAULT_QUEUE_MIB as u64 * 1024 * 1024 / (128 * 72 * 3)),
        ("stream-seek", true, 1),
        ("extract-jpeg", true, 1),
        ("extract-png", true, 1),
        ("extract-memory", false, 5),
        ("extract-device", false, 1),
    ] {
        let probe = probe(&path).unwrap();
        let frame_bytes = probe.frame_bytes() as u64;
        let mut source = open_probed(probe, &settings(mode, 3..8), folder.path(), &Device::Cpu).unwrap();
        assert_eq!(source.frames(), 5);
        let (mut seen, mut last) = (0, None);
        while let Some(frame) = source.next_frame().unwrap() {
            assert_eq!(frame.decoded.is_some(), measured, "{mode}");
            if let Some(decoded) = frame.decoded {
                assert!(decoded.began <= decoded.ended, "{mode}");
                assert!(last.is_none_or(|last| last <= decoded.began), "{mode}: spans overlap");
                last = Some(decoded.ended);
            }
            seen += 1;
        }
        assert_eq!((seen, source.frame_buffer_bytes()), (5, buffers * frame_bytes), "{mode}");
    }
}
