//! Draws the frames of a clip and says what is true of them. Must not know files.

use super::super::people::{Clothes, rest_positions};
use super::super::scenery::{Scenery, View};
use super::super::truth::{Intrinsics, TruthBody, TruthPerson};
use super::cast::{Actor, cast};
use super::spec::WalkersClip;
use crate::body::{Body, Posed, Region};
use crate::geometry::{Vec3, add, sub};
use crate::person::SmplParams;
use crate::render::{
    Camera, Draw, Light, Mesh, Raster, Rgb, ShadowMap, Silhouette, Surface, silhouette, vertex_normals,
};
use rayon::prelude::*;

/// A clip on stage: what does not change from frame to frame, and the buffers of what does.
pub struct Stage {
    clip: WalkersClip,
    body: Body,
    rest: Vec<Vec3>,
    regions: Vec<Region>,
    actors: Vec<Actor>,
    scenery: Scenery,
    raster: Raster,
    shadows: ShadowMap,
}

/// An actor in one frame, in camera axes.
struct Figurant<'a> {
    actor: &'a Actor,
    params: SmplParams,
    translation: Vec3,
    /// Joints are relative to the body, vertices stand before the camera.
    posed: Posed,
    normals: Vec<Vec3>,
    silhouette: Silhouette,
}

/// Texels of a side of a person's shadow map.
const SHADOW_TEXELS: usize = 192;
/// Who comes nearer than this is not drawn, metres.
const NEAREST: f32 = 0.3;

impl Stage {
    /// Casts the people and sets the scene.
    pub fn new(clip: &WalkersClip, body: Body) -> Stage {
        let regions = body.regions.clone().unwrap_or_else(|| vec![Region::Skin; body.faces.len()]);
        Stage {
            actors: cast(clip, &body),
            scenery: Scenery::draw(clip.seed, 0, clip.scene.place),
            rest: rest_positions(&body),
            regions,
            body,
            raster: Raster::new(clip.width, clip.height),
            shadows: ShadowMap::new(SHADOW_TEXELS),
            clip: clip.clone(),
        }
    }

    /// Where the camera is and looks in a frame.
    pub fn view(&self, frame: usize) -> View {
        let spec = &self.clip.scene.camera;
        let yaw_deg = spec.pan.as_ref().map_or(0.0, |pan| {
            let turned = frame as f64 / self.clip.fps / pan.secs;
            let share = 0.5 - 0.5 * libm::cos(std::f64::consts::PI * turned);
            pan.from_deg + (pan.to_deg - pan.from_deg) * share
        });
        let half_width = self.clip.width as f64 / 2.0;
        let focal = (half_width / libm::tan(spec.field_of_view_deg.to_radians() / 2.0)) as f32;
        let (cx, cy) = (half_width as f32, self.clip.height as f32 / 2.0);
        let camera = Camera { fx: focal, fy: focal, cx, cy };
        let eye = [0.0, spec.height as f32, 0.0];
        View::at(eye, yaw_deg.to_radians(), spec.tilt_deg.to_radians(), camera)
    }

    /// Draws a frame. The people in it, the hidden ones too, in the order of their identities.
    pub fn draw(&mut self, frame: usize) -> Vec<TruthPerson> {
        let view = self.view(frame);
        let light = self.scenery.light(&view.camera_from_world);
        let secs = frame as f64 / self.clip.fps;
        let (body, actors) = (&self.body, &self.actors);
        let present: Vec<Figurant> =
            actors.par_iter().filter_map(|actor| figurant(actor, body, &view, secs)).collect();
        self.shadows.begin(light.toward);
        for figurant in &present {
            self.shadows.cast(&figurant.mesh(body));
        }
        let (shadows, scenery) = (&self.shadows, &self.scenery);
        let dress = Dress { rest: &self.rest, regions: &self.regions, light: &light, shadows };
        let shaders: Vec<_> = present
            .iter()
            .map(|figurant| {
                let clothes = &figurant.actor.look.clothes;
                move |surface: &Surface| dress.color(clothes, surface)
            })
            .collect();
        let draws: Vec<Draw> = present
            .iter()
            .zip(&shaders)
            .map(|(figurant, shade)| Draw {
                mesh: figurant.mesh(body),
                object: Some(figurant.actor.id),
                two_sided: false,
                shade,
            })
            .collect();
        self.raster.render(&view.camera, &draws, &|pixel| scenery.color(&view, &light, Some(shadows), pixel));
        present.iter().filter_map(|figurant| figurant.truth(&view.camera, &self.raster)).collect()
    }

    /// The frame drawn last, sRGB, `height * width * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        self.raster.rgb()
    }
}

/// What all shaders of a frame share.
#[derive(Clone, Copy)]
struct Dress<'a> {
    rest: &'a [Vec3],
    regions: &'a [Region],
    light: &'a Light,
    shadows: &'a ShadowMap,
}

impl Dress<'_> {
    fn color(&self, clothes: &Clothes, surface: &Surface) -> Rgb {
        let region = self.regions[surface.face];
        let width = surface.position[2] / surface.camera.fx;
        let albedo = clothes.albedo(region, surface.of_vertices(self.rest), width);
        let lit = self.shadows.lit(surface.position, surface.normal);
        let gloss = clothes.gloss(region);
        if gloss > 0.0 {
            return self.light.shade_glossy(albedo, surface.normal, surface.position, gloss, lit);
        }
        self.light.shade(albedo, surface.normal, lit)
    }
}

/// Poses an actor and stands him or her before the camera; `None` for who is not in front of it.
fn figurant<'a>(actor: &'a Actor, body: &Body, view: &View, secs: f64) -> Option<Figurant<'a>> {
    let stance = actor.walker.at(secs);
    let params = stance.params_in_camera(actor.look.betas, &view.camera_from_world);
    let mut posed = body.pose(&params);
    let translation = sub(view.see(stance.pelvis_in_world), posed.joints24[0]);
    posed.vertices.iter_mut().for_each(|vertex| *vertex = add(*vertex, translation));
    if posed.vertices.iter().any(|vertex| vertex[2] < NEAREST) {
        return None;
    }
    let mut normals = Vec::new();
    vertex_normals(&posed.vertices, &body.faces, &mut normals);
    let mesh = Mesh { positions: &posed.vertices, faces: &body.faces, normals: None };
    let silhouette = silhouette(&view.camera, &mesh);
    Some(Figurant { actor, params, translation, posed, normals, silhouette })
}

impl Figurant<'_> {
    fn mesh<'m>(&'m self, body: &'m Body) -> Mesh<'m> {
        Mesh { positions: &self.posed.vertices, faces: &body.faces, normals: Some(&self.normals) }
    }

    /// `None` for who is beyond the picture altogether.
    fn truth(&self, camera: &Camera, raster: &Raster) -> Option<TruthPerson> {
        let seen = raster.visibility(self.actor.id);
        let bbox = self.silhouette.bbox.filter(|_| seen.covered_samples > 0)?;
        let share = seen.visible_samples as f64 / self.silhouette.samples.max(1) as f64;
        let joints_in_camera: Vec<Vec3> =
            self.posed.joints44.iter().map(|joint| add(*joint, self.translation)).collect();
        let body = TruthBody {
            params: self.params.clone(),
            translation_in_camera: self.translation,
            joints_in_image: joints_in_camera.iter().map(|joint| camera.project(*joint)).collect(),
            joints_in_camera,
            camera: Intrinsics { fx: camera.fx, fy: camera.fy, cx: camera.cx, cy: camera.cy },
        };
        Some(TruthPerson {
            id: self.actor.id,
            bbox,
            visible_bbox: seen.visible_box,
            visible_share: Some(share.min(1.0) as f32),
            body: Some(body),
        })
    }
}
