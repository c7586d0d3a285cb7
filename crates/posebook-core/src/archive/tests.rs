//! Archives as programs write them, and crafted ones.

use super::tar::{Entry, Kind, read_entries};
use super::*;
use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};
use proptest::prelude::*;
use std::fs;
use std::io::Write;

/// A file of a ZIP to be written, possibly with wrong declarations.
#[derive(Clone)]
struct Part {
    name: &'static str,
    data: Vec<u8>,
    deflated: bool,
    declared_size: Option<u32>,
    /// A 64-bit size in an extra field.
    wide_size: Option<u64>,
    flags: u16,
    mode: u32,
}

fn part(name: &'static str, data: &[u8]) -> Part {
    let (data, mode) = (data.to_vec(), 0o100_644);
    Part { name, data, deflated: false, declared_size: None, wide_size: None, flags: 0, mode }
}

/// A ZIP as written by `zip(1)`, with ZIP64 records if `wide`.
fn zip_of(parts: &[Part], wide: bool) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for part in parts {
        let at = out.len() as u32;
        let mut crc = Crc::new();
        crc.update(&part.data);
        let packed = if part.deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&part.data).unwrap();
            encoder.finish().unwrap()
        } else {
            part.data.clone()
        };
        let method: u16 = if part.deflated { 8 } else { 0 };
        let sizes = [packed.len() as u32, part.declared_size.unwrap_or(part.data.len() as u32)];
        let mut common =
            [20u16, part.flags, method, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        common.extend(crc.sum().to_le_bytes());
        common.extend(sizes.iter().flat_map(|n| n.to_le_bytes()));
        common.extend((part.name.len() as u16).to_le_bytes());
        let mut extra = Vec::new();
        if let Some(size) = part.wide_size {
            extra.extend([1, 0, 8, 0]);
            extra.extend(size.to_le_bytes());
        }
        common.extend((extra.len() as u16).to_le_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(part.name.as_bytes());
        out.extend(&extra);
        out.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((part.mode << 16).to_le_bytes().iter().chain(&at.to_le_bytes()));
        directory.extend(part.name.as_bytes());
        directory.extend(&extra);
    }
    let (start, bytes, count) = (out.len() as u64, directory.len() as u64, parts.len() as u64);
    out.extend(directory);
    if wide {
        let record = out.len() as u64;
        out.extend(b"PK\x06\x06");
        out.extend(44u64.to_le_bytes());
        out.extend([0; 12]);
        out.extend([count, count, bytes, start].iter().flat_map(|n| n.to_le_bytes()));
        out.extend(b"PK\x06\x07\0\0\0\0");
        out.extend(record.to_le_bytes());
        out.extend(1u32.to_le_bytes());
    }
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count as u16, count as u16].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([bytes as u32, start as u32].iter().flat_map(|n| n.to_le_bytes()));
    out.extend([0, 0]);
    out
}

/// A header of a TAR, and the data in whole blocks.
fn tar_entry(name: &str, flag: u8, data: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    block[156] = flag;
    block[257..263].copy_from_slice(b"ustar\0");
    sign(&mut block);
    block.extend(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn sign(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

fn tgz(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    entries.iter().for_each(|entry| encoder.write_all(entry).unwrap());
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap()
}

/// A folder with an archive in it.
struct ArchiveFolder(tempfile::TempDir);

impl ArchiveFolder {
    fn new(bytes: &[u8]) -> ArchiveFolder {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("archive"), bytes).unwrap();
        ArchiveFolder(folder)
    }

    fn open(&self) -> Result<Zip, ArchiveError> {
        Zip::open(&self.0.path().join("archive"))
    }

    fn unpack(&self, limits: Limits) -> Result<Vec<PathBuf>, ArchiveError> {
        unpack(&self.0.path().join("archive"), &self.0.path().join("out"), limits, &|_| true)
    }

    /// The message of an unpacking that must fail; nothing of it may be left.
    fn rejection(&self, limits: Limits) -> String {
        let error = self.unpack(limits).expect_err("unpacking must fail").to_string();
        let left: Vec<_> =
            fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["archive"], "{error}");
        error
    }
}

#[test]
fn entries_are_read_unchanged() {
    let long = b"many bytes ".repeat(10_000);
    for wide in [false, true] {
        let deflated = Part { deflated: true, ..part("root/data/1", &long) };
        let desk = ArchiveFolder::new(&zip_of(
            &[part("root/data.pkl", b"pickle"), deflated, part("root/data/0", &long)],
            wide,
        ));
        let mut zip = desk.open().unwrap();
        assert_eq!(zip.names().collect::<Vec<_>>(), ["root/data.pkl", "root/data/1", "root/data/0"]);
        assert_eq!(zip.read("root/data.pkl", 6).unwrap(), b"pickle");
        for name in ["root/data/0", "root/data/1"] {
            assert_eq!(zip.read(name, 1 << 20).unwrap(), long);
            assert_eq!(zip.read_range(name, 11, 22).unwrap(), &long[..22]);
            assert!(zip.read_range(name, u64::MAX, 2).unwrap_err().to_string().contains("has 110000 bytes"));
        }
        let said = zip.read("root/data/0", 100).unwrap_err().to_string();
        assert!(said.contains("declares 110000 bytes, and at most 100 are allowed"), "{said}");
        assert!(zip.read("none", 1).unwrap_err().to_string().contains("it has no entry `none`"));
    }
}

#[test]
fn a_zip_with_wrong_declarations_is_rejected() {
    let long = vec![7; 100_000];
    let bomb = Part { deflated: true, declared_size: Some(100), ..part("a", &long) };
    let said = |bytes: &[u8]| {
        let desk = ArchiveFolder::new(bytes);
        desk.open().and_then(|mut zip| zip.read("a", 1 << 30)).unwrap_err().to_string()
    };
    assert!(
        said(&zip_of(std::slice::from_ref(&bomb), false))
            .contains("larger than its declared uncompressed size")
    );
    let less = Part { declared_size: Some(u32::MAX - 1), ..bomb.clone() };
    // 4 GiB are declared; nothing is allocated for them
    assert!(
        said(&zip_of(&[less], false))
            .contains("declares 4294967294 bytes, and at most 1073741824 are allowed")
    );
    let less = Part { declared_size: Some(200_000), ..bomb };
    assert!(said(&zip_of(&[less], false)).contains("ends 100000 bytes before its declared size"));
    let stored = Part { declared_size: Some(5), ..part("a", b"1234") };
    assert!(said(&zip_of(&[stored], false)).contains("declares 5 bytes and has 4"));
    assert!(
        said(&zip_of(&[part("a", b"1"), part("a", b"2")], false)).contains("two entries of the same name")
    );
    let good = zip_of(&[part("a", b"1234")], false);
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        said(&bytes)
    };
    assert!(changed(31, b'x').contains("has another checksum than the directory says"));
    assert!(changed(30, b'b').contains("filename mismatch"));
    // the directory's position, the number of entries, and the entry's position
    assert!(changed(good.len() - 4, 0xff).contains("directory does not end where the end record begins"));
    assert!(changed(good.len() - 12, 0xff).contains("Multi-disk"));
    assert!(changed(35 + 42, 1).contains("Invalid local file header"));
    let wide = zip_of(&[part("a", b"1234")], true);
    let count = wide.len() - 22 - 20 - 56 + 32;
    let mut many = wide.clone();
    many[count + 3] = 1;
    assert!(said(&many).contains("declares a directory of 16777217 entries"));
    let mut far = wide;
    far[count + 8 + 7] = 0xff;
    assert!(said(&far).contains("directory does not end where the end record begins"));
}

/// Sizes at the end of their type, so that sums would overflow.
#[test]
fn extreme_sizes_are_rejected_without_overflow() {
    for size in [u64::MAX, u64::MAX - 1, i64::MAX as u64, 1 << 62] {
        let declared = Part { declared_size: Some(u32::MAX), wide_size: Some(size), ..part("a", b"1234") };
        let bytes = zip_of(&[Part { deflated: true, ..declared }], true);
        let folder = ArchiveFolder::new(&bytes);
        let mut zip = folder.open().unwrap();
        assert_eq!(zip.size("a"), Some(size));
        assert!(zip.read("a", u64::MAX).unwrap_err().to_string().contains("before its declared size"));
        assert!(zip.read_range("a", 0, size).is_err() && zip.read_range("a", size, 0).is_err());
        assert!(folder.unpack(Limits::default()).is_err());
    }
    for size in [u64::MAX, 1 << 61, 1 << 60] {
        let mut block = tar_entry("a", b'0', b"");
        block[124..128].copy_from_slice(&[0x80, 0, 0, 0]);
        block[128..136].copy_from_slice(&size.to_be_bytes());
        sign(&mut block);
        ArchiveFolder::new(&block).rejection(Limits::default());
        let pax = format!("29 size={size}\n");
        let pax = format!("{} size={size}\n", pax.len());
        let entries = [tar_entry("pax", b'x', pax.as_bytes()), tar_entry("a", b'0', b"")].concat();
        ArchiveFolder::new(&entries).rejection(Limits::default());
    }
}

#[test]
fn entries_that_overlap_are_rejected() {
    // the second entry's header lies within the first one's data
    let inner = zip_of(&[part("b", b"data")], false);
    let mut bytes = zip_of(&[part("a", &inner[..35]), part("b", b"data")], false);
    let directory = bytes.len() - 22 - 47 + 42;
    bytes[directory..directory + 4].copy_from_slice(&31u32.to_le_bytes());
    assert!(ArchiveFolder::new(&bytes).open().err().unwrap().to_string().contains("entries that overlap"));
}

#[test]
fn archives_are_unpacked_completely() {
    let parts = [part("deep/a.txt", b"1"), Part { mode: 0o040_755, ..part("empty/", b"") }];
    let long = format!("{}/c.txt", "d".repeat(120));
    let pax = |name: &str| {
        let record = |length: usize| format!("{length} path={name}\n");
        record(record(record(100).len()).len())
    };
    let tar = [
        tar_entry("./", b'5', b""),
        tar_entry("deep/a.txt", b'0', b"1"),
        tar_entry("empty/", b'5', b""),
        tar_entry("note", b'L', format!("{long}\0").as_bytes()),
        tar_entry("short", b'0', &[2; 600]),
        tar_entry("note", b'x', pax("pax.txt").as_bytes()),
        tar_entry("short", b'0', b"3"),
    ];
    for (bytes, files) in [(zip_of(&parts, false), 1), (tgz(&tar), 3), (tar.concat(), 3)] {
        let desk = ArchiveFolder::new(&bytes);
        let unpacked = desk.unpack(Limits::default()).unwrap();
        assert_eq!(unpacked.len(), files);
        let out = desk.0.path().join("out");
        assert_eq!(fs::read(out.join("deep/a.txt")).unwrap(), b"1");
        assert!(out.join("empty").is_dir());
        if files == 3 {
            assert_eq!(fs::read(out.join(&long)).unwrap(), [2; 600]);
            assert_eq!(fs::read(out.join("pax.txt")).unwrap(), b"3");
        }
    }
}

#[test]
fn nothing_is_unpacked_outside_of_the_folder() {
    for name in ["../a", "/a", "a/../../b", "a\\b", "", ".", "c/./.."] {
        let said = ArchiveFolder::new(&tgz(&[tar_entry("ok", b'0', b"1"), tar_entry(name, b'0', b"2")]))
            .rejection(Limits::default());
        assert!(
            said.contains("points outside")
                || said.contains("not a path")
                || said.contains("empty or too deep"),
            "{name}: {said}"
        );
    }
    for name in ["../a", "/a", "a/../../b", "a\\b"] {
        let said = ArchiveFolder::new(&zip_of(&[part(name, b"1")], false)).rejection(Limits::default());
        assert!(
            said.contains("points outside")
                || said.contains("not a path")
                || said.contains("empty or too deep"),
            "{name}: {said}"
        );
    }
    for (flag, what) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a device"),
        (b'6', "a pipe"),
        (b'S', "of an unknown kind"),
    ] {
        let said = ArchiveFolder::new(&tgz(&[tar_entry("a", flag, b"")])).rejection(Limits::default());
        assert!(said.contains(&format!("`a` is {what}")), "{said}");
    }
    let link = Part { mode: 0o120_777, ..part("a", b"/etc/passwd") };
    assert!(
        ArchiveFolder::new(&zip_of(&[link], false))
            .rejection(Limits::default())
            .contains("is a link or a device")
    );
    let twice = ArchiveFolder::new(&tgz(&[tar_entry("a", b'0', b"1"), tar_entry("./a", b'0', b"2")]));
    assert!(twice.rejection(Limits::default()).contains("occurs twice"));
}

#[test]
fn archives_beyond_the_limits_are_rejected() {
    let limits = Limits { max_entries: 3, max_bytes: 1000, max_depth: 3 };
    let few = ArchiveFolder::new(&tgz(&vec![tar_entry("a/", b'5', b""); 4]));
    assert!(few.rejection(limits).contains("has more than 3 entries"));
    let long = ArchiveFolder::new(&tgz(&[tar_entry("a", b'0', &[0; 600]), tar_entry("b", b'0', &[0; 600])]));
    assert!(long.rejection(limits).contains("has more than 1000 bytes unpacked"));
    let deep = ArchiveFolder::new(&tgz(&[tar_entry("a/b/c/d", b'0', b"1")]));
    assert!(deep.rejection(limits).contains("empty or too deep"));
    let zipped = Part { deflated: true, ..part("a", &[0; 100_000]) };
    assert!(
        ArchiveFolder::new(&zip_of(std::slice::from_ref(&zipped), false))
            .rejection(limits)
            .contains("more than 1000 bytes unpacked")
    );
    let lying = Part { declared_size: Some(10), ..zipped };
    assert!(
        ArchiveFolder::new(&zip_of(&[lying], false)).rejection(limits).contains("larger than its declared")
    );
}

#[test]
fn damaged_archives_are_rejected() {
    let whole = tgz(&[tar_entry("a", b'0', &[1; 2000])]);
    for length in [0, 1, 3, 20, whole.len() / 2, whole.len() - 9] {
        ArchiveFolder::new(&whole[..length]).rejection(Limits::default());
    }
    let mut wrong = tar_entry("a", b'0', b"1");
    wrong[5] = b'x';
    assert!(ArchiveFolder::new(&wrong).rejection(Limits::default()).contains("checksum mismatch"));
    let mut absurd = tar_entry("a", b'0', b"");
    absurd[124..136].fill(0x7f);
    absurd[124] = 0x80;
    sign(&mut absurd);
    ArchiveFolder::new(&absurd).rejection(Limits::default());
    assert!(
        ArchiveFolder::new(b"no archive").rejection(Limits::default()).contains("neither a ZIP nor a TAR")
    );
    let name = ArchiveFolder::new(&tgz(&[tar_entry("n", b'L', &[b'a'; 70_000])]));
    assert!(name.rejection(Limits::default()).contains("a name of 70000 bytes"));
}

#[test]
fn a_tar_is_read_entry_by_entry() {
    let tar = [tar_entry("a", b'0', &[1; 513]), tar_entry("b", b'7', b"2"), vec![0; 1024]].concat();
    let mut read = Vec::new();
    read_entries(Path::new("a.tar"), tar.as_slice(), &mut |entry, content| {
        let mut first = [0; 1];
        content.read_exact(&mut first).unwrap();
        // what is not read is skipped
        read.push((entry.clone(), first));
        Ok(())
    })
    .unwrap();
    let file = |name: &str, size| Entry { name: name.into(), size, kind: Kind::File };
    assert_eq!(read, [(file("a", 513), [1]), (file("b", 1), *b"2")]);
}

/// Cases that ZIP readers treat differently.
#[test]
fn ambiguous_zips_are_rejected() {
    let said = |bytes: &[u8]| {
        let folder = ArchiveFolder::new(bytes);
        let said = folder.rejection(Limits::default());
        assert!(folder.open().and_then(|mut zip| zip.read_range("a", 0, 4)).is_err(), "{said}");
        said
    };
    let good = zip_of(&[part("a", b"1234")], false);
    assert_eq!(ArchiveFolder::new(&good).unpack(Limits::default()).unwrap().len(), 1);
    // bytes before or after the archive
    said(&[b"#!/bin/sh\n", &good[..]].concat());
    assert!(said(&[&good[..], b"more"].concat()).contains("end record of a ZIP archive is missing"));
    // a local header with another size, checksum, method or flag than the directory
    for (at, what) in
        [(22, "uncompressed size"), (18, "compressed size"), (14, "CRC32"), (8, "method"), (6, "flag")]
    {
        let mut local = good.clone();
        local[at] ^= if at == 6 { 8 } else { 1 };
        let said = said(&local);
        assert!(said.contains(what), "{at}: {said}");
    }
    // a ZIP64 record that contradicts the end record, and is valid itself
    let mut other = zip_of(&[part("a", b"1234"), part("b", b"5678")], true);
    let record = other.len() - 22 - 20 - 56;
    (other[record + 24], other[record + 32]) = (1, 1);
    assert!(said(&other).contains("end records that contradict each other"));
    let secret = Part { flags: 1, ..part("a", b"1234") };
    assert!(said(&zip_of(&[secret], false)).contains("Password required"));
    let mut method = good.clone();
    (method[8], method[35 + 10]) = (12, 12);
    assert!(said(&method).contains("compression method not supported: 12"));
    for length in 0..good.len() {
        said(&good[..length]);
    }
}

#[test]
fn zips_with_data_descriptors_and_names_in_old_encodings_are_read() {
    // a descriptor after the data repeats its checksum and sizes, which the local header leaves out
    let mut streamed = zip_of(&[Part { flags: 8, ..part("a", b"1234") }], false);
    let descriptor = [b"PK\x07\x08", &streamed[14..26]].concat();
    streamed[14..26].fill(0);
    streamed.splice(35..35, descriptor);
    let end = streamed.len() - 6;
    streamed[end] += 16;
    assert_eq!(ArchiveFolder::new(&streamed).open().unwrap().read("a", 4).unwrap(), b"1234");
    // code page 437
    let mut named = zip_of(&[part("a", b"1234")], false);
    (named[30], named[35 + 46]) = (0x81, 0x81);
    assert_eq!(ArchiveFolder::new(&named).open().unwrap().names().collect::<Vec<_>>(), ["ü"]);
    // two entries have the same name, one encoded in code page 437 and one in UTF-8
    let mut twice = zip_of(&[part("ü", b"1"), part("u", b"2")], false);
    (twice[63], twice[159]) = (0x81, 0x81);
    let said = ArchiveFolder::new(&twice).open().err().unwrap().to_string();
    assert!(said.contains("`ü` occurs twice"), "{said}");
}

#[test]
fn extended_headers_of_a_tar_are_read_strictly() {
    let file = || tar_entry("a", b'0', b"1234");
    let pax = |records: &str| [tar_entry("pax", b'x', records.as_bytes()), file()].concat();
    let read = |tar: &[u8]| ArchiveFolder::new(tar).unpack(Limits::default()).map(|files| files.len());
    assert_eq!(read(&pax("9 size=4\n")).unwrap(), 1);
    assert_eq!(read(&[tar_entry("g", b'g', b"13 comment=1\n"), file()].concat()).unwrap(), 1);
    assert_eq!(read(&[tar_entry("k", b'K', b"long\0"), file(), vec![0; 512], file()].concat()).unwrap(), 1);
    for (records, what) in [
        ("9 size=3\n", "different sizes"),
        ("9 size=x\n", "an invalid size"),
        ("8 path=b\n", "an invalid pax header"),
        ("9 path=b", "an invalid pax header"),
        ("\n9 path=b\n", "an invalid pax header"),
        ("9 path=b\n\n9 path=c\n", "an invalid pax header"),
        ("13 path=../b\n", "points outside"),
    ] {
        let said = ArchiveFolder::new(&pax(records)).rejection(Limits::default());
        assert!(said.contains(what), "{records}: {said}");
    }
    // binary sizes that are negative, or longer than 64 bits
    for start in [[0xff, 0xff, 0xff, 0xff], [0x80, 0, 0, 1], [0x81, 0, 0, 0]] {
        let mut block = tar_entry("a", b'0', b"1234");
        block[124..136].copy_from_slice(&[&start[..], &4u64.to_be_bytes()].concat());
        sign(&mut block);
        let said = ArchiveFolder::new(&block).rejection(Limits::default());
        assert!(said.contains("an invalid size"), "{said}");
    }
    for length in [513, 515, 600, 1023] {
        let said = ArchiveFolder::new(&file()[..length]).rejection(Limits::default());
        assert!(said.contains("before its declared size") || said.contains("EOF"), "{length}: {said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// A changed byte or a truncation gives files or an error, never a panic.
    #[test]
    fn damaged_archives_do_not_panic(at in 0usize..3000, to in any::<u8>(), cut in any::<bool>(), which in 0usize..3) {
        let deflated = Part { deflated: true, ..part("b/c", &[9; 700]) };
        let entries = [tar_entry("a", b'0', &[1; 700]), tar_entry("b/c", b'0', b"2")];
        let mut bytes = match which {
            0 => zip_of(&[part("a", &[1; 300]), deflated], true),
            1 => entries.concat(),
            _ => tgz(&entries),
        };
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = to }
        let desk = ArchiveFolder::new(&bytes);
        let _ = desk.unpack(Limits { max_entries: 10, max_bytes: 10_000, max_depth: 5 });
    }
}
