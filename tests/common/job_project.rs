//! The project of the tests of jobs: an experiment, a video, boxes for it, and an image.

use crate::common::Project;
use std::fs;

#[path = "ffmpeg.rs"]
mod ffmpeg_clips;

const EXPERIMENT: &str = r#"
question = "Do jobs run experiments?"
[defaults]
dataset = { name = "walkers", only = ["crossing"], people = 2, width = 160, height = 96, frames = 12 }
[sweep]
"video.mode" = [{ extract = { store = "png" } }, { stream = { access = "sequential" } }]
[quick]
"dataset.frames" = 6
"#;

/// A project with a video, boxes for it, and an image.
pub fn project() -> Project {
    let project = Project::with_experiment("small", EXPERIMENT);
    let clips = project.path("clips");
    fs::create_dir(&clips).unwrap();
    ffmpeg_clips::ffmpeg(
        &clips,
        "-f lavfi -i testsrc2=size=160x120:rate=25 -frames:v 10 -c:v libx264 -preset ultrafast walk.mp4",
    );
    ffmpeg_clips::ffmpeg(&clips, "-f lavfi -i testsrc2=size=160x120:rate=1 -frames:v 1 still.png");
    let line = |frame: usize| {
        format!("{frame},1,{0},10,40,90,1,-1,-1,-1\n{frame},2,100,{0},40,80,1,-1,-1,-1\n", 10 + frame)
    };
    fs::write(clips.join("boxes.txt"), (1..=10).map(line).collect::<String>()).unwrap();
    project
}
