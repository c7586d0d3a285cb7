//! Draws one frame of a small scene to a PNG file and prints the people in it.
//!
//! Usage: `draw_scene [FRAME] [FILE]`, by default frame 15 and `scene.png`.

use posebook_models::body::Body;
use posebook_synth::render::RgbImage;
use posebook_synth::walkers::{SceneRenderer, WalkersDataset};
use std::error::Error;

/// The same format as `datasets/walkers.toml`. Positions are meters to the right of the camera and away from it.
const DATASET: &str = r#"
kind = "walkers"
about = "a person waves, one walks past behind, a third wanders"
seed = 20001
width = 640
height = 360
frames = 90
fps = 30.0

[[clip]]
name = "example"
place = "street"
people = 3

[[clip.person]]
from = [-0.9, 4.6]
facing_deg = 0.0
stages = [{ stay_secs = 6.0, doing = "wave" }]

[[clip.person]]
starts_secs = -1.0
from = [-3.0, 6.0]
stages = [{ go = [[3.0, 5.6]], speed = 1.3 }]
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let frame = arguments.next().map_or(Ok(15), |number| number.parse())?;
    let file = arguments.next().unwrap_or_else(|| "scene.png".into());

    let dataset: WalkersDataset = toml::from_str(DATASET)?;
    let clip = &dataset.clips()?[0];
    let mut renderer = SceneRenderer::new(clip, Body::built_in());

    // frames can be drawn in any order
    let people = renderer.draw(frame);
    for person in people {
        let bbox = person.bbox;
        println!(
            "person {}: box {:.0},{:.0} to {:.0},{:.0}, {:.0}% visible",
            person.id,
            bbox.x1,
            bbox.y1,
            bbox.x2,
            bbox.y2,
            100.0 * person.visible_share.unwrap_or(0.0)
        );
    }
    let image = RgbImage { width: clip.width, height: clip.height, rgb: renderer.rgb().to_vec() };
    std::fs::write(&file, image.to_png()?)?;
    println!("frame {frame}: {file}");
    Ok(())
}
