//! Renders triangle meshes and draws overlays: a z-buffer rasterizer, light, shadows, procedural textures, lines and text.
//! The same input gives the same bytes on every machine and for any number of threads: coverage is fixed-point, arithmetic
//! is plain IEEE in a fixed order, and `libm` computes the powers of the color tables.
//!
//! Does not depend on bodies, clips or models: meshes are vertices and faces, joints are points.
//!
//! Conventions: camera axes are x right, y down, z forward, in meters; pixel `(0, 0)` covers `[0, 1) x [0, 1)`, so its
//! center is at 0.5; colors are linear light ([`Rgb`]) until an image is encoded as sRGB bytes. A face is visible from the
//! side its normal `(p1 - p0) x (p2 - p0)` points to (SMPL's winding).
//!
//! ```ignore
//! use posebook_synth::render::{Camera, DrawCall, Light, Mesh, Raster, ShadowMap, Surface, overlay, vertex_normals};
//!
//! let camera = Camera { fx: 600.0, fy: 600.0, cx: 320.0, cy: 180.0 };
//! let mut normals = Vec::new();
//! vertex_normals(&vertices, &faces, &mut normals);                  // buffers are reused between frames
//! let body = Mesh { positions: &vertices, faces: &faces, normals: Some(&normals) };
//! let light = Light::outdoors([0.4, -0.8, -0.5], [0.0, -1.0, 0.0]); // toward the sun; up, in camera axes
//! let mut shadows = ShadowMap::new(256);                            // reused between frames
//! shadows.begin(light.toward);
//! shadows.add_caster(&body);
//!
//! let skin = |s: &Surface| {
//!     let albedo = colors[regions[s.face] as usize];                // or texture.color_at(s.interpolate(&uv), ..)
//!     light.shade(albedo, s.normal, shadows.sunlit_fraction(s.position, s.normal))
//! };
//! let mut raster = Raster::new(640, 360);                           // reused between frames
//! raster.render(
//!     &camera,
//!     &[
//!         DrawCall { mesh: ground, object: None, two_sided: true, shade: &grass },
//!         DrawCall { mesh: body, object: Some(7), two_sided: false, shade: &skin },
//!     ],
//!     &|pixel| sky(pixel),                                          // background
//! );
//! raster.rgb();            // &[u8], height * width * 3, sRGB
//! raster.depth();          // &[f32], meters, infinity for the background
//! raster.objects();        // &[u32], the object that covers most of a pixel, or Raster::NO_OBJECT
//! raster.visibility(7);    // visible and covered samples, bounding box, visible_fraction()
//!
//! let mut view = overlay::Overlay::new(640);                        // reused between frames; shrinks wider ones
//! view.begin(&frame);                                               // coordinates are those of the full frame
//! view.draw_bodies(&camera, &[BodyMesh { positions, faces, color }], 0.6); // 0.0: outlines alone
//! view.draw_skeleton(&joints_in_image, &OPENPOSE_LIMBS, track_color(3));
//! view.draw_box(&bbox, "3", track_color(3));
//! view.image().to_png()?;                                           // the bytes of a PNG file
//! ```

pub mod color;
mod font;
mod light;
pub mod overlay;
mod palettes;
mod pen;
mod raster;
mod rgb_image;
mod settings;
mod shadow;
pub mod texture;

pub use color::Rgb;
pub use light::{Light, vertex_normals};
pub use palettes::Colors;
pub use raster::{Camera, DrawCall, Mesh, Raster, Shader, Silhouette, Surface, Visibility, silhouette};
pub use rgb_image::{EncodeError, RgbImage};
pub use settings::{Content, RenderError, RenderSettings, Shape};
pub use shadow::ShadowMap;
pub use texture::{Pattern, Texture};
