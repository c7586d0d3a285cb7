//! What is chosen where a person leaves it open: the network and the detector for filmed video and pictures.

use super::Project;
use crate::recovery::PUBLISHED;

/// The network for filmed people that anybody may fetch.
const FREE: &str = "blazepose";

/// The model set for filmed people, and the sentence that says so: HMR2 where it is imported, else BlazePose.
pub fn model_of_filmed(project: &Project) -> (String, Option<String>) {
    if project.model(PUBLISHED).is_file() {
        return (PUBLISHED.to_string(), Some(format!("model={PUBLISHED}: it is imported here")));
    }
    let why = format!(
        "model={FREE}: BlazePose and a fit of the body; {PUBLISHED} is not imported here (`posebook model import \
         {PUBLISHED}`)"
    );
    (FREE.to_string(), Some(why))
}
