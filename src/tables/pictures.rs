//! The table of the people of single pictures. Unknown is `None` (null), never zero.

use super::column::table;

table! {
    /// One person in one picture.
    pub struct PicturePersonRow in "people" {
        /// The picture's file, as it was given
        pub picture: String,
        /// SHA-256 of the picture's file
        pub picture_sha256: String,
        /// What the names of its results begin with
        pub name: String,
        /// Position of the picture among those given, from 1
        pub number: u64,
        /// Width of the picture in pixels, turned as its EXIF orientation says
        pub width_px: u64,
        /// Height of the picture in pixels, turned as its EXIF orientation says
        pub height_px: u64,
        /// Position among the people of the picture, from 0
        pub person: u64,
        /// Whether nobody said where people are, so that the whole picture was taken as one person's box
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
        /// Where the body stands before the camera of the whole picture, metres
        pub translation_m: Vec<f32>,
        /// That camera's focal length in pixels; its axis goes through the picture's middle
        pub focal_px: f32,
        /// 44 joints relative to the body's origin, camera axes, metres: x, y, z of each
        pub joints_m: Vec<f32>,
        /// 44 joints in pixels of the picture: x, y of each
        pub joints_px: Vec<f32>,
        /// The model set's name
        pub model: String,
        /// SHA-256 of the weights
        pub weights_sha256: String,
        /// Number format of the network
        pub precision: String,
        /// `cpu` or `cuda:0`
        pub device: String,
        /// The source's commit
        pub git_hash: Option<String>,
        /// Whether tracked files differed from that commit
        pub git_dirty: Option<bool>,
    }
}
