//! The MOTChallenge benchmarks, which share the text format but differ in its meaning, as in TrackEval 1.3.0
//! (`trackeval/datasets/mot_challenge_2d_box.py`).

use super::{MotFile, MotRow};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Classes: 1 pedestrian, 2 person on a vehicle, 3 car, 4 bicycle, 5 motorbike, 6 other vehicle, 7 standing
/// person, 8 distractor, 9 to 11 occluders, 12 reflection, 13 crowd.
const CLASSES: std::ops::RangeInclusive<i64> = 1..=13;
const PEDESTRIAN: i64 = 1;

/// A benchmark and its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Benchmark {
    /// Without classes: the columns of class and visibility hold world positions, or -1.
    Mot15,
    /// MOT17's rules.
    Mot16,
    /// Classes, with distractors 2, 7, 8 and 12.
    Mot17,
    /// MOT17's rules, with class 6 among the distractors.
    Mot20,
    /// MOT17's rules; all ground truth is of class 1.
    DanceTrack,
}

/// What a file's boxes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ground truth: column 7 is a flag; 0 (after truncation) means that the row is ignored.
    Truth,
    /// Output of a tracker: all boxes are people.
    Tracks,
    /// Detections: identities do not matter, and column 7 is a score.
    Boxes,
}

/// What a row's box shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BoxKind {
    /// A person to be detected.
    Person,
    /// A person that the flag 0 excludes.
    Flagged,
    /// A distractor of this class: a track on it is removed before scoring.
    Distractor(i64),
    /// Another object, of this class.
    Other(i64),
}

impl Benchmark {
    /// All benchmarks.
    pub const ALL: [Benchmark; 5] =
        [Benchmark::Mot15, Benchmark::Mot16, Benchmark::Mot17, Benchmark::Mot20, Benchmark::DanceTrack];

    /// The name in settings: `mot15`, `mot16`, `mot17`, `mot20`, `dancetrack`.
    pub fn name(self) -> &'static str {
        match self {
            Benchmark::Mot15 => "mot15",
            Benchmark::Mot16 => "mot16",
            Benchmark::Mot17 => "mot17",
            Benchmark::Mot20 => "mot20",
            Benchmark::DanceTrack => "dancetrack",
        }
    }

    /// The distractor classes: a track on such a box is removed before scoring.
    pub fn distractors(self) -> &'static [i64] {
        match self {
            Benchmark::Mot15 => &[],
            Benchmark::Mot16 | Benchmark::Mot17 | Benchmark::DanceTrack => &[2, 7, 8, 12],
            Benchmark::Mot20 => &[2, 6, 7, 8, 12],
        }
    }

    /// The benchmark named in a path, the innermost part first: `MOT20-train/MOT20-01/gt/gt.txt`,
    /// `2DMOT2015/train/TUD-Campus/gt/gt.txt`.
    pub fn from_path(path: &Path) -> Option<Benchmark> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let parts: Vec<String> =
            absolute.components().map(|part| part.as_os_str().to_string_lossy().to_lowercase()).collect();
        parts.iter().rev().find_map(|part| {
            part.split(|letter: char| !letter.is_ascii_alphanumeric()).find_map(|part| match part {
                "mot15" | "mot2015" | "2dmot15" | "2dmot2015" => Some(Benchmark::Mot15),
                "mot16" | "mot2016" => Some(Benchmark::Mot16),
                "mot17" | "mot2017" | "mot17det" => Some(Benchmark::Mot17),
                "mot20" | "mot2020" | "mot20det" => Some(Benchmark::Mot20),
                part if part.starts_with("dancetrack") => Some(Benchmark::DanceTrack),
                _ => None,
            })
        })
    }

    /// The kind of a row's box.
    ///
    /// # Errors
    /// If the benchmark does not have its class, or tracks have another class than pedestrian; the message says
    /// what to do.
    pub fn kind(self, row: &MotRow, role: Role) -> Result<BoxKind, String> {
        let class = row.class.unwrap_or(-1.0);
        if role == Role::Tracks {
            // truncated, as in TrackEval
            return if class.trunc() > 1.0 {
                Err(format!(
                    "class {class} in tracks: only people are scored (class 1, or -1 for unknown); remove such rows"
                ))
            } else {
                Ok(BoxKind::Person)
            };
        }
        let is_unknown = class == -1.0 || (role == Role::Boxes && class == 0.0);
        let class =
            if self == Benchmark::Mot15 || is_unknown { PEDESTRIAN } else { known_class(row, class)? };
        Ok(match class {
            PEDESTRIAN if role == Role::Truth && row.confidence.is_some_and(|flag| flag.trunc() == 0.0) => {
                BoxKind::Flagged
            }
            PEDESTRIAN => BoxKind::Person,
            class if self.distractors().contains(&class) => BoxKind::Distractor(class),
            class => BoxKind::Other(class),
        })
    }
}

fn known_class(row: &MotRow, class: f64) -> Result<i64, String> {
    if class.fract() == 0.0 && (*CLASSES.start() as f64..=*CLASSES.end() as f64).contains(&class) {
        return Ok(class as i64);
    }
    let hint = if row.columns == 10 {
        "; if columns 8 to 10 are world positions, the benchmark is mot15"
    } else {
        "; write -1 for an unknown class"
    };
    Err(format!("class {class} does not exist; classes are 1 (pedestrian) to {}{hint}", CLASSES.end()))
}

impl fmt::Display for Benchmark {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Benchmark {
    type Err = String;

    /// Case-insensitive.
    fn from_str(name: &str) -> Result<Benchmark, String> {
        let lower_case = name.trim().to_lowercase();
        let found = Benchmark::ALL.into_iter().find(|benchmark| benchmark.name() == lower_case);
        let names = Benchmark::ALL.map(Benchmark::name).join(", ");
        found.ok_or_else(|| format!("there is no benchmark `{name}`; choose one of {names}"))
    }
}

impl TryFrom<String> for Benchmark {
    type Error = String;

    fn try_from(name: String) -> Result<Benchmark, String> {
        name.parse()
    }
}

/// Why a benchmark was chosen for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChoiceReason {
    /// The user named it.
    Named,
    /// The file's path names it.
    Path,
    /// The columns leave no other choice.
    Columns,
    /// Nothing indicates a benchmark; MOT17 is the default.
    Nothing,
}

/// The benchmark whose rules a file is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchmarkChoice {
    /// The benchmark.
    pub benchmark: Benchmark,
    /// Why it was chosen.
    pub reason: ChoiceReason,
}

impl BenchmarkChoice {
    /// The benchmark that the user named, else that of the file's path, else that of its columns, else MOT17.
    pub fn detect(named: Option<Benchmark>, file: &MotFile) -> BenchmarkChoice {
        let named = named.map(|benchmark| (benchmark, ChoiceReason::Named));
        let by_path = || Benchmark::from_path(&file.path).map(|benchmark| (benchmark, ChoiceReason::Path));
        let by_columns = || file.has_world_positions().then_some((Benchmark::Mot15, ChoiceReason::Columns));
        let found = named.or_else(by_path).or_else(by_columns);
        let (benchmark, reason) = found.unwrap_or((Benchmark::Mot17, ChoiceReason::Nothing));
        BenchmarkChoice { benchmark, reason }
    }

    /// A note on the choice for the file at `path`; `None` if the user named the benchmark. `setting` is the option
    /// that overrides it: `--benchmark`, `benchmark=`.
    pub fn note(&self, path: &Path, setting: &str) -> Option<String> {
        let (path, name) = (path.display(), self.benchmark);
        Some(match self.reason {
            ChoiceReason::Named => return None,
            ChoiceReason::Path => {
                format!(
                    "{path} is read by {name}'s rules, because its path names it ({setting} selects another)"
                )
            }
            ChoiceReason::Columns => format!(
                "{path} is read by {name}'s rules: it has ten columns with world positions in the last three, and no \
                 classes ({setting} selects another)"
            ),
            ChoiceReason::Nothing => format!(
                "{path} is read by {name}'s rules, the default: class 1 counts, tracks on classes 2, \
                 7, 8 and 12 are removed ({setting} selects another)"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motchallenge::DecodedText;

    fn file(path: &str, text: &str) -> MotFile {
        let path = Path::new(path);
        MotFile::parse(DecodedText::decode(text.as_bytes(), path).unwrap(), path).unwrap()
    }

    fn kind(benchmark: Benchmark, line: &str, role: Role) -> Result<BoxKind, String> {
        benchmark.kind(&file("gt.txt", line).rows[0], role)
    }

    #[test]
    fn names_are_case_insensitive() {
        assert_eq!("MOT20".parse::<Benchmark>(), Ok(Benchmark::Mot20));
        assert_eq!("DanceTrack".parse::<Benchmark>(), Ok(Benchmark::DanceTrack));
        let error = "mot18".parse::<Benchmark>().unwrap_err();
        assert_eq!(
            error,
            "there is no benchmark `mot18`; choose one of mot15, mot16, mot17, mot20, dancetrack"
        );
        for benchmark in Benchmark::ALL {
            assert_eq!(serde_json::to_value(benchmark).unwrap(), benchmark.name());
        }
    }

    #[test]
    fn paths_name_benchmarks() {
        for (path, benchmark) in [
            ("/x/MOT20-train/MOT20-01/gt/gt.txt", Some(Benchmark::Mot20)),
            ("/x/2DMOT2015/train/TUD-Campus/gt/gt.txt", Some(Benchmark::Mot15)),
            ("/x/MOT15-train/PETS09-S2L1/gt/gt.txt", Some(Benchmark::Mot15)),
            ("/MOT20/copies/MOT17-02-DPM.txt", Some(Benchmark::Mot17)),
            ("/x/dancetrack/val/dancetrack0004/gt/gt.txt", Some(Benchmark::DanceTrack)),
            ("/x/mot16/gt.txt", Some(Benchmark::Mot16)),
            ("/x/mot200/motorbikes/gt.txt", None),
        ] {
            assert_eq!(Benchmark::from_path(Path::new(path)), benchmark, "{path}");
        }
    }

    #[test]
    fn the_choice_of_a_benchmark_is_explained() {
        let world_positions = "1,1,0,0,9,9,1,-1.5,2.5,0\n1,2,0,0,9,9,1,3,2,0\n";
        let choose = |named, path, text| BenchmarkChoice::detect(named, &file(path, text));
        let columns = choose(None, "/x/gt.txt", world_positions);
        assert_eq!(columns, BenchmarkChoice { benchmark: Benchmark::Mot15, reason: ChoiceReason::Columns });
        assert!(
            columns
                .note(Path::new("gt.txt"), "--benchmark")
                .unwrap()
                .contains("read by mot15's rules: it has ten columns")
        );
        let folder = choose(None, "/x/MOT20-01/gt/gt.txt", world_positions);
        assert_eq!(folder, BenchmarkChoice { benchmark: Benchmark::Mot20, reason: ChoiceReason::Path });
        let nothing = choose(None, "/x/gt.txt", "1,1,0,0,9,9,1,1,1\n");
        assert_eq!(nothing, BenchmarkChoice { benchmark: Benchmark::Mot17, reason: ChoiceReason::Nothing });
        assert!(nothing.note(Path::new("gt.txt"), "--benchmark").unwrap().contains("the default"));
        let named = choose(Some(Benchmark::DanceTrack), "/x/MOT20-01/gt/gt.txt", world_positions);
        assert_eq!((named.benchmark, named.note(Path::new("gt.txt"), "")), (Benchmark::DanceTrack, None));
    }

    #[test]
    fn benchmarks_differ_in_their_classes() {
        let six = "1,1,0,0,9,9,0,6,1";
        assert_eq!(kind(Benchmark::Mot20, six, Role::Truth), Ok(BoxKind::Distractor(6)));
        assert_eq!(kind(Benchmark::Mot17, six, Role::Truth), Ok(BoxKind::Other(6)));
        assert_eq!(kind(Benchmark::Mot16, "1,1,0,0,9,9,0,8,1", Role::Truth), Ok(BoxKind::Distractor(8)));
        assert_eq!(kind(Benchmark::Mot15, "1,1,0,0,9,9,1,-3.5,2,0", Role::Truth), Ok(BoxKind::Person));
        assert_eq!(kind(Benchmark::Mot15, "1,1,0,0,9,9,0,-3.5,2,0", Role::Truth), Ok(BoxKind::Flagged));
        for (flag, expected) in [
            ("0", BoxKind::Flagged),
            ("0.7", BoxKind::Flagged),
            ("1", BoxKind::Person),
            ("-1", BoxKind::Person),
        ] {
            let line = format!("1,1,0,0,9,9,{flag},1,1");
            assert_eq!(kind(Benchmark::Mot17, &line, Role::Truth), Ok(expected), "{flag}");
            assert_eq!(kind(Benchmark::Mot17, &line, Role::Boxes), Ok(BoxKind::Person), "{flag}");
        }
        assert_eq!(kind(Benchmark::Mot17, "1,1,0,0,9,9", Role::Truth), Ok(BoxKind::Person));
        assert_eq!(kind(Benchmark::Mot17, "1,1,0,0,9,9,1,-1,-1,-1", Role::Truth), Ok(BoxKind::Person));
        assert_eq!(kind(Benchmark::Mot17, "1,-1,0,0,9,9,0.3,0,-1", Role::Boxes), Ok(BoxKind::Person));
    }

    #[test]
    fn unknown_classes_are_errors() {
        for class in ["0", "19", "0.5", "-2"] {
            let line = format!("1,1,0,0,9,9,1,{class},1");
            let error = kind(Benchmark::Mot17, &line, Role::Truth).unwrap_err();
            assert!(
                error.starts_with(&format!("class {class} does not exist; classes are 1 (pedestrian) to 13")),
                "{error}"
            );
        }
        let ten = kind(Benchmark::Mot17, "1,1,0,0,9,9,1,0.5,2,0", Role::Truth).unwrap_err();
        assert!(ten.contains("the benchmark is mot15"), "{ten}");
        // TrackEval rejects tracks of other classes in every benchmark
        for benchmark in Benchmark::ALL {
            let error = kind(benchmark, "1,1,0,0,9,9,0.9,3,-1", Role::Tracks).unwrap_err();
            assert!(error.contains("class 3 in tracks"), "{error}");
            assert_eq!(kind(benchmark, "1,1,0,0,9,9,0.9,-1,-1", Role::Tracks), Ok(BoxKind::Person));
        }
    }
}
