//! Pictures of triangles, and drawings over pictures: a z-buffer rasteriser, light, shadow, procedural
//! textures and overlays. The same input gives the same bytes on every machine and for any
//! number of threads: fixed-point coverage, plain IEEE arithmetic in a fixed order, `libm` where a table
//! needs a power.
//!
//! Must not know what a body, a clip or a model is: meshes come as vertices and faces, joints as points.
//!
//! Conventions: camera axes are x right, y down, z away, in metres; pixel `(0, 0)` covers `[0, 1) x [0, 1)`,
//! so its centre is at 0.5; colours are linear light ([`Rgb`]) until a picture is written as sRGB bytes. A
//! face is seen from the side its normal `(p1 - p0) x (p2 - p0)` points to (SMPL's winding).
//!
//! ```ignore
//! use posebook::render::{Camera, Draw, Light, Mesh, Raster, ShadowMap, texture, vertex_normals};
//!
//! let camera = Camera { fx: 600.0, fy: 600.0, cx: 320.0, cy: 180.0 };
//! let mut normals = Vec::new();
//! vertex_normals(&vertices, &faces, &mut normals);                  // buffers are the caller's: reuse them
//! let body = Mesh { positions: &vertices, faces: &faces, normals: Some(&normals) };
//! let light = Light::outdoors([0.4, -0.8, -0.5], [0.0, -1.0, 0.0]); // towards the sun; up, in camera axes
//! let mut shadows = ShadowMap::new(256);                            // kept between frames
//! shadows.begin(light.toward);
//! shadows.cast(&body);
//!
//! let skin = |s: &Surface| {
//!     let albedo = colors[regions[s.face] as usize];                // or texture.at(s.of_corners(&uv), ..)
//!     light.shade(albedo, s.normal, shadows.lit(s.position, s.normal))
//! };
//! let mut raster = Raster::new(640, 360);                           // kept between frames
//! raster.render(
//!     &camera,
//!     &[
//!         Draw { mesh: ground, object: None, two_sided: true, shade: &grass },
//!         Draw { mesh: body, object: Some(7), two_sided: false, shade: &skin },
//!     ],
//!     &|pixel| sky(pixel),                                          // where nothing is drawn
//! );
//! raster.rgb();            // &[u8], height * width * 3, sRGB
//! raster.depth();          // &[f32], metres, infinity where nothing is
//! raster.objects();        // &[u32], the object that covers most of a pixel, or Raster::NOBODY
//! raster.visibility(7);    // samples seen and covered, boxes of both, share()
//!
//! let mut view = overlay::Overlay::new(640);                        // kept between frames; shrinks wider ones
//! view.begin(&frame);                                               // coordinates are the full frame's
//! view.bodies(&camera, &[Shown { positions, faces, color }], 0.6);  // 0.0: outlines alone
//! view.skeleton(&joints_in_image, &OPENPOSE_LIMBS, color_of_track(3));
//! view.labelled_box(&bbox, "3", color_of_track(3));
//! view.picture().png()?;
//! ```

pub mod color;
mod font;
pub mod light;
pub mod overlay;
pub mod pen;
pub mod picture;
pub mod raster;
mod shadow;
pub mod texture;

pub use color::Rgb;
pub use light::{Light, vertex_normals};
pub use picture::Picture;
pub use raster::{Camera, Draw, Mesh, Raster, Shade, Silhouette, Surface, Visibility, silhouette};
pub use shadow::ShadowMap;
pub use texture::{Pattern, Texture};
