//! Defaults for videos and images of real people: the model set, and which people of a published detector are kept.

use crate::runner::Project;
use posebook_models::recovery::HMR2_MODEL_SET;

/// The score above which 4D-Humans' demo keeps the people of a published detector.
pub const DEMO_LEAST_SCORE: f64 = 0.5;

/// The model set whose weights are freely available.
const FREE_MODEL: &str = "blazepose";

/// Name of the default model set and a note about the choice: HMR2 if it is imported, otherwise BlazePose.
pub fn default_model(project: &Project) -> (String, Option<String>) {
    if project.model(HMR2_MODEL_SET).is_file() {
        return (HMR2_MODEL_SET.to_string(), Some(format!("model={HMR2_MODEL_SET}: it is imported here")));
    }
    let note = format!(
        "model={FREE_MODEL}: BlazePose and a fit of the body; {HMR2_MODEL_SET} is not imported here (`posebook model import \
         {HMR2_MODEL_SET}`)"
    );
    (FREE_MODEL.to_string(), Some(note))
}
