//! Rows of the table `people` of `posebook reconstruct`. Unknown is `None` (null), never zero.

use super::column::table;

table! {
    /// One person in one image.
    pub struct ImagePersonRow in "people" {
        /// Path of the image file, as given
        pub picture: String,
        /// SHA-256 of the image file
        pub picture_sha256: String,
        /// Prefix of the names of its result files
        pub name: String,
        /// Position of the image among the given ones, from 1
        pub number: u64,
        /// Width of the image in pixels, after rotation by its EXIF orientation
        pub width_px: u64,
        /// Height of the image in pixels, after rotation by its EXIF orientation
        pub height_px: u64,
        /// Position among the people of the image, from 0
        pub person: u64,
        /// Whether there were no boxes, so that the whole image was used as the box of one person
        pub whole_picture: bool,
        /// Left edge of the box
        pub x1_px: f32,
        /// Upper edge of the box
        pub y1_px: f32,
        /// Right edge of the box
        pub x2_px: f32,
        /// Lower edge of the box
        pub y2_px: f32,
        /// SMPL: 10 shape components
        pub betas: Vec<f32>,
        /// SMPL: root orientation, a 3x3 matrix row by row
        pub global_orient: Vec<f32>,
        /// SMPL: 23 rotations, 3x3 matrices row by row
        pub body_pose: Vec<f32>,
        /// HMR2's camera in the crop: scale, x, y
        pub crop_camera: Vec<f32>,
        /// Position of the body relative to the camera of the whole image, meters
        pub translation_m: Vec<f32>,
        /// Focal length of that camera in pixels; the principal point is the image center
        pub focal_px: f32,
        /// 44 joints relative to the body's origin in camera axes, meters: x, y, z of each
        pub joints_m: Vec<f32>,
        /// 44 joints in pixels of the image: x, y of each
        pub joints_px: Vec<f32>,
        /// Name of the model set
        pub model: String,
        /// SHA-256 of the weights
        pub weights_sha256: String,
        /// Number format of the network
        pub precision: String,
        /// `cpu` or `cuda:0`
        pub device: String,
        /// Git commit of the source
        pub git_hash: Option<String>,
        /// Whether tracked files differed from that commit
        pub git_dirty: Option<bool>,
    }
}
