//! The benchmarks that share the text and differ in what it means, as TrackEval 1.3.0 has them
//! (`trackeval/datasets/mot_challenge_2d_box.py`).

use super::{File, Row};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Classes: 1 pedestrian, 2 person on a vehicle, 3 car, 4 bicycle, 5 motorbike, 6 other vehicle, 7 standing
/// person, 8 distractor, 9 to 11 occluders, 12 reflection, 13 crowd.
const CLASSES: std::ops::RangeInclusive<i64> = 1..=13;
const PEDESTRIAN: i64 = 1;

/// A set of sequences with rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Benchmark {
    /// No classes: places in the world, or -1, stand in the columns of class and visibility.
    Mot15,
    /// MOT17's rules.
    Mot16,
    Mot17,
    /// As MOT17, with class 6 among the distractors.
    Mot20,
    /// MOT17's rules; all of its truth is of class 1.
    DanceTrack,
}

/// What a file's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What is true: column 7 is a flag, 0 (cut off to a whole number) leaves the row out.
    Truth,
    /// What a tracker found: all of it people.
    Tracks,
    /// Where people are, identities aside: column 7 is a score.
    Boxes,
}

/// What a row's box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Somebody to be found.
    Person,
    /// A person whose flag of 0 leaves the row out.
    Flagged,
    /// Something that a track may lie on and then counts neither way, of this class.
    Distractor(i64),
    /// Something else, of this class.
    Other(i64),
}

impl Benchmark {
    pub const ALL: [Benchmark; 5] =
        [Benchmark::Mot15, Benchmark::Mot16, Benchmark::Mot17, Benchmark::Mot20, Benchmark::DanceTrack];

    /// As it is written in settings: `mot15`, `mot16`, `mot17`, `mot20`, `dancetrack`.
    pub fn name(self) -> &'static str {
        match self {
            Benchmark::Mot15 => "mot15",
            Benchmark::Mot16 => "mot16",
            Benchmark::Mot17 => "mot17",
            Benchmark::Mot20 => "mot20",
            Benchmark::DanceTrack => "dancetrack",
        }
    }

    /// Classes whose boxes do no harm: a track that lies on one is left out and counts neither way.
    pub fn distractors(self) -> &'static [i64] {
        match self {
            Benchmark::Mot15 => &[],
            Benchmark::Mot16 | Benchmark::Mot17 | Benchmark::DanceTrack => &[2, 7, 8, 12],
            Benchmark::Mot20 => &[2, 6, 7, 8, 12],
        }
    }

    /// The benchmark that a path names, the innermost folder (or the file itself) first:
    /// `MOT20-train/MOT20-01/gt/gt.txt`, `2DMOT2015/train/TUD-Campus/gt/gt.txt`.
    pub fn of_path(path: &Path) -> Option<Benchmark> {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let parts: Vec<String> =
            whole.components().map(|part| part.as_os_str().to_string_lossy().to_lowercase()).collect();
        parts.iter().rev().find_map(|part| {
            part.split(|letter: char| !letter.is_ascii_alphanumeric()).find_map(|word| match word {
                "mot15" | "mot2015" | "2dmot15" | "2dmot2015" => Some(Benchmark::Mot15),
                "mot16" | "mot2016" => Some(Benchmark::Mot16),
                "mot17" | "mot2017" | "mot17det" => Some(Benchmark::Mot17),
                "mot20" | "mot2020" | "mot20det" => Some(Benchmark::Mot20),
                word if word.starts_with("dancetrack") => Some(Benchmark::DanceTrack),
                _ => None,
            })
        })
    }

    /// What the box of a row is.
    ///
    /// # Errors
    /// If its class is none that the benchmark has, or tracks have another class than people: what to do.
    pub fn kind(self, row: &Row, role: Role) -> Result<Kind, String> {
        let class = row.class.unwrap_or(-1.0);
        if role == Role::Tracks {
            // cut off to a whole number, as TrackEval does
            return if class.trunc() > 1.0 {
                Err(format!(
                    "class {class} in tracks: people alone are scored (class 1, or -1 for unknown); remove such rows"
                ))
            } else {
                Ok(Kind::Person)
            };
        }
        let is_unknown = class == -1.0 || (role == Role::Boxes && class == 0.0);
        let class = if self == Benchmark::Mot15 || is_unknown { PEDESTRIAN } else { known(row, class)? };
        Ok(match class {
            PEDESTRIAN if role == Role::Truth && row.confidence.is_some_and(|flag| flag.trunc() == 0.0) => {
                Kind::Flagged
            }
            PEDESTRIAN => Kind::Person,
            class if self.distractors().contains(&class) => Kind::Distractor(class),
            class => Kind::Other(class),
        })
    }
}

fn known(row: &Row, class: f64) -> Result<i64, String> {
    if class.fract() == 0.0 && (*CLASSES.start() as f64..=*CLASSES.end() as f64).contains(&class) {
        return Ok(class as i64);
    }
    let hint = if row.columns == 10 {
        "; where columns 8 to 10 are places in the world, the benchmark is mot15"
    } else {
        "; where nobody knows the class, write -1"
    };
    Err(format!("class {class}, and there are 1 (pedestrians) to {}{hint}", CLASSES.end()))
}

impl fmt::Display for Benchmark {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Benchmark {
    type Err = String;

    /// Without regard to small and large letters.
    fn from_str(name: &str) -> Result<Benchmark, String> {
        let plain = name.trim().to_lowercase();
        let found = Benchmark::ALL.into_iter().find(|benchmark| benchmark.name() == plain);
        let names = Benchmark::ALL.map(Benchmark::name).join(", ");
        found.ok_or_else(|| format!("there is no benchmark `{name}`; there are {names}"))
    }
}

impl TryFrom<String> for Benchmark {
    type Error = String;

    fn try_from(name: String) -> Result<Benchmark, String> {
        name.parse()
    }
}

/// Why a file is taken for a benchmark's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It was named.
    Named,
    /// A folder, or the file, is called so.
    Path,
    /// Its columns can be nothing else.
    Columns,
    /// Nothing says anything.
    Nothing,
}

/// Whose rules a file is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub benchmark: Benchmark,
    pub because: Because,
}

impl Taken {
    /// The benchmark that was named, or else that of the file's path, or else of its columns, or else MOT17.
    pub fn of(named: Option<Benchmark>, file: &File) -> Taken {
        let named = named.map(|benchmark| (benchmark, Because::Named));
        let by_path = || Benchmark::of_path(&file.path).map(|benchmark| (benchmark, Because::Path));
        let by_columns = || file.has_places().then_some((Benchmark::Mot15, Because::Columns));
        let found = named.or_else(by_path).or_else(by_columns);
        let (benchmark, because) = found.unwrap_or((Benchmark::Mot17, Because::Nothing));
        Taken { benchmark, because }
    }

    /// What the file at `path` is taken for and why; `None` where it was named. `setting` names what would say it:
    /// `--benchmark`, `benchmark=`.
    pub fn note(&self, path: &Path, setting: &str) -> Option<String> {
        let (path, name) = (path.display(), self.benchmark);
        Some(match self.because {
            Because::Named => return None,
            Because::Path => {
                format!("{path} is taken for {name}'s, since its path says so ({setting} names another)")
            }
            Because::Columns => format!(
                "{path} is taken for {name}'s: it has ten columns with places in the world in the last three, and no \
                 classes ({setting} names another)"
            ),
            Because::Nothing => format!(
                "{path} is read by {name}'s rules, since nothing says whose it is: class 1 counts, tracks on classes 2, \
                 7, 8 and 12 are left out ({setting} names another)"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motchallenge::Text;

    fn file(path: &str, text: &str) -> File {
        let path = Path::new(path);
        File::parse(Text::decode(text.as_bytes(), path).unwrap(), path).unwrap()
    }

    fn kind(benchmark: Benchmark, line: &str, role: Role) -> Result<Kind, String> {
        benchmark.kind(&file("gt.txt", line).rows[0], role)
    }

    #[test]
    fn names_are_read_without_case() {
        assert_eq!("MOT20".parse::<Benchmark>(), Ok(Benchmark::Mot20));
        assert_eq!("DanceTrack".parse::<Benchmark>(), Ok(Benchmark::DanceTrack));
        let wrong = "mot18".parse::<Benchmark>().unwrap_err();
        assert_eq!(wrong, "there is no benchmark `mot18`; there are mot15, mot16, mot17, mot20, dancetrack");
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
            assert_eq!(Benchmark::of_path(Path::new(path)), benchmark, "{path}");
        }
    }

    #[test]
    fn what_a_file_is_taken_for_is_said() {
        let places = "1,1,0,0,9,9,1,-1.5,2.5,0\n1,2,0,0,9,9,1,3,2,0\n";
        let taken = |named, path, text| Taken::of(named, &file(path, text));
        let columns = taken(None, "/x/gt.txt", places);
        assert_eq!(columns, Taken { benchmark: Benchmark::Mot15, because: Because::Columns });
        assert!(columns.note(Path::new("gt.txt"), "--benchmark").unwrap().contains("taken for mot15's"));
        let folder = taken(None, "/x/MOT20-01/gt/gt.txt", places);
        assert_eq!(folder, Taken { benchmark: Benchmark::Mot20, because: Because::Path });
        let nothing = taken(None, "/x/gt.txt", "1,1,0,0,9,9,1,1,1\n");
        assert_eq!(nothing, Taken { benchmark: Benchmark::Mot17, because: Because::Nothing });
        assert!(nothing.note(Path::new("gt.txt"), "--benchmark").unwrap().contains("nothing says whose"));
        let named = taken(Some(Benchmark::DanceTrack), "/x/MOT20-01/gt/gt.txt", places);
        assert_eq!((named.benchmark, named.note(Path::new("gt.txt"), "")), (Benchmark::DanceTrack, None));
    }

    #[test]
    fn classes_mean_what_the_benchmark_says() {
        let six = "1,1,0,0,9,9,0,6,1";
        assert_eq!(kind(Benchmark::Mot20, six, Role::Truth), Ok(Kind::Distractor(6)));
        assert_eq!(kind(Benchmark::Mot17, six, Role::Truth), Ok(Kind::Other(6)));
        assert_eq!(kind(Benchmark::Mot16, "1,1,0,0,9,9,0,8,1", Role::Truth), Ok(Kind::Distractor(8)));
        assert_eq!(kind(Benchmark::Mot15, "1,1,0,0,9,9,1,-3.5,2,0", Role::Truth), Ok(Kind::Person));
        assert_eq!(kind(Benchmark::Mot15, "1,1,0,0,9,9,0,-3.5,2,0", Role::Truth), Ok(Kind::Flagged));
        for (flag, kept) in
            [("0", Kind::Flagged), ("0.7", Kind::Flagged), ("1", Kind::Person), ("-1", Kind::Person)]
        {
            let line = format!("1,1,0,0,9,9,{flag},1,1");
            assert_eq!(kind(Benchmark::Mot17, &line, Role::Truth), Ok(kept), "{flag}");
            assert_eq!(kind(Benchmark::Mot17, &line, Role::Boxes), Ok(Kind::Person), "{flag}");
        }
        assert_eq!(kind(Benchmark::Mot17, "1,1,0,0,9,9", Role::Truth), Ok(Kind::Person));
        assert_eq!(kind(Benchmark::Mot17, "1,1,0,0,9,9,1,-1,-1,-1", Role::Truth), Ok(Kind::Person));
        assert_eq!(kind(Benchmark::Mot17, "1,-1,0,0,9,9,0.3,0,-1", Role::Boxes), Ok(Kind::Person));
    }

    #[test]
    fn classes_that_are_none_are_refused() {
        for class in ["0", "19", "0.5", "-2"] {
            let line = format!("1,1,0,0,9,9,1,{class},1");
            let error = kind(Benchmark::Mot17, &line, Role::Truth).unwrap_err();
            assert!(
                error.starts_with(&format!("class {class}, and there are 1 (pedestrians) to 13")),
                "{error}"
            );
        }
        let ten = kind(Benchmark::Mot17, "1,1,0,0,9,9,1,0.5,2,0", Role::Truth).unwrap_err();
        assert!(ten.contains("the benchmark is mot15"), "{ten}");
        // TrackEval asks tracks of every benchmark for people
        for benchmark in Benchmark::ALL {
            let error = kind(benchmark, "1,1,0,0,9,9,0.9,3,-1", Role::Tracks).unwrap_err();
            assert!(error.contains("class 3 in tracks"), "{error}");
            assert_eq!(kind(benchmark, "1,1,0,0,9,9,0.9,-1,-1", Role::Tracks), Ok(Kind::Person));
        }
    }
}
