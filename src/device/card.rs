//! What the driver answers, judged: which cards there are, and whether this build runs on them.
//!
//! The answers are plain numbers, so that the judging is tested without a card. What the kernels need is
//! read from their own text: PTX opens with `.version` and `.target`.

use super::DeviceError;
use std::fmt;

/// The driver's status for success, for a stand-in library, and for no card (`CUresult` of `cuda.h`).
const SUCCESS: u32 = 0;
const STUB_LIBRARY: u32 = 34;
const NO_DEVICE: u32 = 100;

/// The libraries of CUDA 13 that candle calls beside the driver.
const LIBRARIES: [&str; 3] = ["libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"];

/// A version of CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// From the number that `cuDriverGetVersion` gives: 1000 x major + 10 x minor.
    pub fn of_driver(number: i32) -> Version {
        let number = u32::try_from(number).unwrap_or(0);
        Version { major: number / 1000, minor: number % 1000 / 10 }
    }

    /// The first CUDA whose driver reads PTX of version `major.minor` (table of releases in the PTX manual).
    pub fn that_reads_ptx(major: u32, minor: u32) -> Version {
        match (major, minor) {
            // PTX 8.0 came with CUDA 12.0 and went its own way after 8.5
            (8, 6) => Version { major: 12, minor: 7 },
            (8, 7) => Version { major: 12, minor: 8 },
            (8, 8) => Version { major: 12, minor: 9 },
            _ => Version { major: major + 4, minor },
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A card's generation: its compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Capability {
    pub major: u32,
    pub minor: u32,
}

impl Capability {
    /// As a compiler is told it: 90 for 9.0.
    pub fn digits(self) -> String {
        format!("{}{}", self.major, self.minor)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What compiled kernels are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The compiler's name for it, such as `sm_90a`.
    pub name: String,
    pub capability: Capability,
    pub reach: Reach,
    /// The oldest CUDA whose driver reads them.
    pub needs: Version,
}

/// Which cards beside its own a target's kernels run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Newer cards too: the driver compiles the kernels for them.
    Newer,
    /// Newer cards of the same major capability (`sm_100f`).
    Family,
    /// None (`sm_90a`).
    Alone,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let beyond = match self.reach {
            Reach::Newer => " and newer",
            Reach::Family => " and newer of its family",
            Reach::Alone => " alone",
        };
        write!(f, "{}{beyond} ({})", self.capability, self.name)
    }
}

impl Target {
    /// Reads the head of a kernel's PTX; `None` if it has no such head.
    pub fn of_ptx(text: &str) -> Option<Target> {
        let directive = |word: &str| -> Option<&str> {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(word))?;
            line.trim().split([',', ' ']).next()
        };
        let (major, minor) = directive(".version ")?.split_once('.')?;
        let needs = Version::that_reads_ptx(major.parse().ok()?, minor.parse().ok()?);
        let name = directive(".target ")?;
        let digits = name.strip_prefix("sm_")?;
        let (digits, reach) = match (digits.strip_suffix('a'), digits.strip_suffix('f')) {
            (Some(digits), _) => (digits, Reach::Alone),
            (_, Some(digits)) => (digits, Reach::Family),
            _ => (digits, Reach::Newer),
        };
        let number: u32 = digits.parse().ok()?;
        let capability = Capability { major: number / 10, minor: number % 10 };
        Some(Target { name: name.to_string(), capability, reach, needs })
    }

    /// Whether kernels for this target run on a card of capability `has`.
    pub fn runs_on(&self, has: Capability) -> bool {
        match self.reach {
            Reach::Newer => has >= self.capability,
            Reach::Family => has >= self.capability && has.major == self.capability.major,
            Reach::Alone => has == self.capability,
        }
    }
}

/// A card that this build runs on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Card {
    /// The number behind `cuda:`.
    pub index: usize,
    pub name: String,
    /// `GPU-` and a UUID: what NVML knows it by.
    pub uuid: String,
    pub capability: Capability,
    pub total_bytes: u64,
    /// The driver's own version, such as `580.65.06`; `None` where the system does not tell.
    pub driver: Option<String>,
    /// The CUDA that the driver knows.
    pub cuda: Version,
}

impl Card {
    /// The driver in words: its version and its CUDA.
    pub fn driver_in_words(&self) -> String {
        let driver = self.driver.as_ref().map_or_else(|| "unknown version".to_string(), Clone::clone);
        format!("{driver}, CUDA {}", self.cuda)
    }
}

/// What the driver answers before anything is opened, in its own numbers.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// What starting the driver gave, a `CUresult`.
    pub started: u32,
    /// The name of that result.
    pub started_name: String,
    /// `cuDriverGetVersion`; 0 where there is no driver.
    pub version: i32,
    pub cards: Vec<CardAnswer>,
    /// The text of `/proc/driver/nvidia/version`.
    pub module: Option<String>,
    /// The text of `/proc/self/maps`: which libraries are loaded; `None` where there is no such file.
    pub maps: Option<String>,
}

/// What the driver answers about one card.
#[derive(Debug, Clone, Default)]
pub struct CardAnswer {
    pub name: String,
    pub uuid: [u8; 16],
    /// Compute capability.
    pub major: i32,
    pub minor: i32,
    pub total_bytes: u64,
}

/// Whether the kernels for `target` run on each card; `target` is `None` where kernels do not say.
///
/// # Errors
/// If there is no driver that works, it is too old for the kernels, or a library was not found.
pub fn judge(
    answers: &Answers,
    target: Option<&Target>,
) -> Result<Vec<Result<Card, DeviceError>>, DeviceError> {
    let driver = answers.module.as_deref().and_then(driver_version);
    let cuda = Version::of_driver(answers.version);
    if answers.started == STUB_LIBRARY || answers.version == 0 {
        return Err(DeviceError::NoDriver { said: format!("libcuda.so.1: {}", answers.started_name) });
    }
    // an old driver may fail in many ways; that it is old explains them all
    if let Some(target) = target.filter(|target| cuda < target.needs) {
        return Err(DeviceError::DriverTooOld { driver, has: cuda, needs: target.needs });
    }
    if answers.started == NO_DEVICE && driver.is_none() {
        let said = "its library is there, but the system has loaded no driver and shows no card";
        return Err(DeviceError::NoDriver { said: said.into() });
    }
    if answers.started != SUCCESS && answers.started != NO_DEVICE {
        return Err(DeviceError::NoDriver { said: answers.started_name.clone() });
    }
    let missing = answers.maps.as_deref().map(missing_libraries).unwrap_or_default();
    if !missing.is_empty() && !answers.cards.is_empty() {
        return Err(DeviceError::NoLibrary { said: format!("not found: {}", missing.join(", ")) });
    }
    let judged = answers.cards.iter().enumerate().map(|(index, answer)| {
        let number = |value: i32| u32::try_from(value).unwrap_or(0);
        let capability = Capability { major: number(answer.major), minor: number(answer.minor) };
        if let Some(target) = target.filter(|target| !target.runs_on(capability)) {
            let name = answer.name.clone();
            return Err(DeviceError::OtherGeneration { index, name, has: capability, needs: target.clone() });
        }
        Ok(Card {
            index,
            name: answer.name.clone(),
            uuid: uuid_text(&answer.uuid),
            capability,
            total_bytes: answer.total_bytes,
            driver: driver.clone(),
            cuda,
        })
    });
    Ok(judged.collect())
}

/// Card `index` of those judged.
///
/// # Errors
/// If there is no such card, or the build does not run on it.
pub fn pick(cards: Vec<Result<Card, DeviceError>>, index: usize) -> Result<Card, DeviceError> {
    let count = cards.len();
    cards.into_iter().nth(index).unwrap_or(Err(DeviceError::NoCard { index, cards: count }))
}

/// The libraries that candle calls and that are not loaded, by the text of `/proc/self/maps`. They are
/// loaded with the program, or with the driver's first call, and so are there by now or never.
fn missing_libraries(maps: &str) -> Vec<&'static str> {
    LIBRARIES.into_iter().filter(|name| !maps.lines().any(|line| is_of_library(line, name))).collect()
}

/// Whether a mapping is of the library `name`, whichever minor version the file behind it has.
fn is_of_library(line: &str, name: &str) -> bool {
    let Some((_, file)) = line.rsplit_once('/') else { return false };
    file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
}

/// The driver's version in the text of `/proc/driver/nvidia/version`: the first word made of numbers and
/// dots alone, as in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 ...`.
pub fn driver_version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version"))?;
    let numbers = |word: &&str| {
        word.contains('.')
            && word.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty())
    };
    line.split_whitespace().find(numbers).map(str::to_string)
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str =
        "//\n// Generated by NVIDIA NVVM Compiler\n//\n\n.version 9.0\n.target sm_90a\n.address_size 64\n";
    const MODULE: &str = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  \
                          (dvs-builder@U22-I3)  Sun Jul 27 07:05:54 UTC 2025\nGCC version:  gcc version 12.3.0\n";

    const MAPS: &str = "7f00-7f10 r--p 00000000 08:01 11 /usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06\n\
                        7f10-7f20 r-xp 00000000 08:01 12 /usr/local/cuda/lib64/libcublas.so.13.1.0.3\n\
                        7f20-7f30 r-xp 00000000 08:01 13 /opt/nvidia/cu13/lib/libcublasLt.so.13\n\
                        7f30-7f40 r-xp 00000000 08:01 14 /opt/nvidia/cu13/lib/libcurand.so.10 (deleted)\n\
                        7f40-7f50 rw-p 00000000 00:00 0 [heap]\n";

    fn target() -> Target {
        Target::of_ptx(PTX).unwrap()
    }

    fn h100() -> CardAnswer {
        let mut uuid = [0; 16];
        uuid[0] = 0xa1;
        uuid[15] = 0x0f;
        CardAnswer {
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid,
            major: 9,
            minor: 0,
            total_bytes: 85_520_809_984,
        }
    }

    fn answers(cards: Vec<CardAnswer>) -> Answers {
        let (module, maps) = (Some(MODULE.to_string()), Some(MAPS.to_string()));
        Answers { started: 0, started_name: "CUDA_SUCCESS".into(), version: 13_000, cards, module, maps }
    }

    #[test]
    fn kernels_say_what_they_are_for() {
        let target = target();
        assert_eq!(target.to_string(), "9.0 alone (sm_90a)");
        assert_eq!(target.needs, Version { major: 13, minor: 0 });
        let of = |text: &str| Target::of_ptx(text).unwrap();
        let plain = of(".version 8.7\n.target sm_80, debug\n");
        assert_eq!((plain.reach, plain.needs), (Reach::Newer, Version { major: 12, minor: 8 }));
        let family = of(".version 9.1\n.target sm_100f\n");
        assert_eq!(family.capability, Capability { major: 10, minor: 0 });
        for (target, card, runs) in [
            (&target, (9, 0), true),
            (&target, (8, 0), false),
            (&target, (10, 0), false),
            (&plain, (7, 5), false),
            (&plain, (8, 6), true),
            (&plain, (12, 0), true),
            (&family, (10, 3), true),
            (&family, (12, 0), false),
        ] {
            let card = Capability { major: card.0, minor: card.1 };
            assert_eq!(target.runs_on(card), runs, "{target} on {card}");
        }
        for none in [
            "",
            "no kernel",
            ".version 9.0\n",
            ".version x\n.target sm_90\n",
            ".version 9.0\n.target gfx90a\n",
        ] {
            assert_eq!(Target::of_ptx(none), None, "{none:?}");
        }
    }

    #[test]
    fn versions_are_read_as_the_driver_writes_them() {
        assert_eq!(Version::of_driver(12_080).to_string(), "12.8");
        assert_eq!(Version::of_driver(13_000).to_string(), "13.0");
        assert_eq!(Version::that_reads_ptx(8, 5), Version { major: 12, minor: 5 });
        assert_eq!(driver_version(MODULE).unwrap(), "580.65.06");
        let older =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\n";
        assert_eq!(driver_version(older).unwrap(), "470.57.02");
        assert_eq!(driver_version("GCC version: 12.3.0"), None);
    }

    #[test]
    fn a_fitting_card_is_told_with_its_facts() {
        let card = pick(judge(&answers(vec![h100()]), Some(&target())).unwrap(), 0).unwrap();
        assert_eq!(card.uuid, "GPU-a1000000-0000-0000-0000-00000000000f");
        assert_eq!(card.driver_in_words(), "580.65.06, CUDA 13.0");
        assert_eq!(card.total_bytes, 85_520_809_984);
        let silent = Answers { module: None, ..answers(vec![h100()]) };
        let card = pick(judge(&silent, None).unwrap(), 0).unwrap();
        assert_eq!(card.driver_in_words(), "unknown version, CUDA 13.0");
    }

    #[test]
    fn every_want_has_its_own_message() {
        let target = target();
        let told = |answers: &Answers| judge(answers, Some(&target)).unwrap_err();
        let stub =
            Answers { started: 34, started_name: "CUDA_ERROR_STUB_LIBRARY".into(), ..Answers::default() };
        assert!(matches!(told(&stub), DeviceError::NoDriver { .. }));
        let unloaded = Answers { started: 100, module: None, ..answers(vec![]) };
        assert!(matches!(told(&unloaded), DeviceError::NoDriver { .. }));
        let broken = Answers {
            started: 803,
            started_name: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH".into(),
            ..answers(vec![])
        };
        assert!(told(&broken).to_string().contains("MISMATCH"));

        let old = told(&Answers { version: 12_020, ..answers(vec![h100()]) });
        assert_eq!(
            old.to_string(),
            "the NVIDIA driver 580.65.06 is too old: it knows CUDA 12.2, and this build's kernels need 13.0; update \
             the driver, or build with an older toolkit"
        );
        // an old driver that does not even start is told as old
        assert!(matches!(
            told(&Answers { started: 3, version: 11_040, ..answers(vec![]) }),
            DeviceError::DriverTooOld { .. }
        ));

        let none = pick(judge(&Answers { started: 100, ..answers(vec![]) }, Some(&target)).unwrap(), 0);
        assert_eq!(none, Err(DeviceError::NoCard { index: 0, cards: 0 }));
        let beyond = pick(judge(&answers(vec![h100()]), Some(&target)).unwrap(), 1);
        assert_eq!(beyond, Err(DeviceError::NoCard { index: 1, cards: 1 }));

        let maps = Some(MAPS.replace("libcurand.so.10", "libcurand.so.100"));
        let bare = told(&Answers { maps, ..answers(vec![h100()]) });
        assert_eq!(bare, DeviceError::NoLibrary { said: "not found: libcurand.so.10".into() });
        let unknown = Answers { maps: None, ..answers(vec![h100()]) };
        assert!(judge(&unknown, Some(&target)).unwrap()[0].is_ok());

        let a100 = CardAnswer { name: "NVIDIA A100".into(), major: 8, ..h100() };
        let cards = judge(&answers(vec![a100, h100()]), Some(&target)).unwrap();
        let message = cards[0].as_ref().unwrap_err().to_string();
        assert!(
            message.contains("8.0") && message.contains("sm_90a") && message.contains("CUDA_COMPUTE_CAP=80"),
            "{message}"
        );
        assert_eq!(cards[1].as_ref().unwrap().index, 1);
    }
}
