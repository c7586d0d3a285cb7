//! Draws the frames of a clip and computes their ground truth. Does not depend on files.

use super::actors::{Actor, create_actors};
use super::spec::{WalkersClip, world};
use crate::people::{Clothes, rest_positions};
use crate::render::{
    Camera, DrawCall, Light, Mesh, Raster, Rgb, ShadowMap, Silhouette, Surface, silhouette, vertex_normals,
};
use crate::scenery::{CameraView, Scenery};
use posebook_core::geometry::{Vec3, add, sub};
use posebook_core::person::SmplParams;
use posebook_core::truth::{Intrinsics, TruthBody, TruthPerson};
use posebook_models::body::{Body, PosedBody, Region};
use rayon::prelude::*;

/// Renderer of one clip: what is constant over its frames, and the buffers.
pub struct SceneRenderer {
    clip: WalkersClip,
    body: Body,
    rest: Vec<Vec3>,
    regions: Vec<Region>,
    actors: Vec<Actor>,
    scenery: Scenery,
    raster: Raster,
    shadows: ShadowMap,
}

/// An actor posed for one frame, in camera axes.
struct PosedActor<'a> {
    actor: &'a Actor,
    params: SmplParams,
    translation: Vec3,
    /// Joints are relative to the body's origin, vertices are in camera coordinates.
    posed: PosedBody,
    normals: Vec<Vec3>,
    silhouette: Silhouette,
}

/// Side of the shadow map, texels.
const SHADOW_TEXELS: usize = 192;
/// People nearer to the camera are not drawn, meters.
const MIN_DEPTH_M: f32 = 0.3;

impl SceneRenderer {
    /// Creates the people and the scenery.
    pub fn new(clip: &WalkersClip, body: Body) -> SceneRenderer {
        let regions = body.regions.clone().unwrap_or_else(|| vec![Region::Skin; body.faces.len()]);
        SceneRenderer {
            actors: create_actors(clip, &body),
            scenery: Scenery::sample(clip.seed, 0, clip.scene.place),
            rest: rest_positions(&body),
            regions,
            body,
            raster: Raster::new(clip.width, clip.height),
            shadows: ShadowMap::new(SHADOW_TEXELS),
            clip: clip.clone(),
        }
    }

    /// The camera's pose in a frame.
    pub fn view(&self, frame: usize) -> CameraView {
        let scene = &self.clip.scene;
        let cut = scene.cut.iter().rfind(|cut| cut.frame <= frame);
        let (spec, first, at, turned_deg) = match cut {
            Some(cut) => (&cut.camera, cut.frame, world(cut.from), cut.yaw_deg),
            None => (&scene.camera, 0, [0.0; 2], 0.0),
        };
        let pan_deg = spec.pan.as_ref().map_or(0.0, |pan| {
            let turned = (frame - first) as f64 / self.clip.fps / pan.secs;
            let share = 0.5 - 0.5 * libm::cos(std::f64::consts::PI * turned);
            pan.from_deg + (pan.to_deg - pan.from_deg) * share
        });
        let yaw_deg = turned_deg + pan_deg;
        let half_width = self.clip.width as f64 / 2.0;
        let focal = (half_width / libm::tan(spec.field_of_view_deg.to_radians() / 2.0)) as f32;
        let (cx, cy) = (half_width as f32, self.clip.height as f32 / 2.0);
        let camera = Camera { fx: focal, fy: focal, cx, cy };
        let eye = [at[0] as f32, spec.height as f32, at[1] as f32];
        CameraView::looking(eye, yaw_deg.to_radians(), spec.tilt_deg.to_radians(), camera)
    }

    /// Draws a frame; returns the people in it, including hidden ones, ordered by identity.
    pub fn draw(&mut self, frame: usize) -> Vec<TruthPerson> {
        let view = self.view(frame);
        let light = self.scenery.light(&view.camera_from_world);
        let secs = frame as f64 / self.clip.fps;
        let (body, actors) = (&self.body, &self.actors);
        let present: Vec<PosedActor> =
            actors.par_iter().filter_map(|actor| pose_actor(actor, body, &view, secs)).collect();
        self.shadows.begin(light.toward);
        for actor in &present {
            self.shadows.add_caster(&actor.mesh(body));
        }
        let (shadows, scenery) = (&self.shadows, &self.scenery);
        let shader = ClothesShader { rest: &self.rest, regions: &self.regions, light: &light, shadows };
        let shaders: Vec<_> = present
            .iter()
            .map(|actor| {
                let clothes = &actor.actor.appearance.clothes;
                move |surface: &Surface| shader.color(clothes, surface)
            })
            .collect();
        let draws: Vec<DrawCall> = present
            .iter()
            .zip(&shaders)
            .map(|(actor, shade)| DrawCall {
                mesh: actor.mesh(body),
                object: Some(actor.actor.id),
                two_sided: false,
                shade,
            })
            .collect();
        self.raster.render(&view.camera, &draws, &|pixel| scenery.color(&view, &light, Some(shadows), pixel));
        present.iter().filter_map(|actor| actor.truth(&view.camera, &self.raster)).collect()
    }

    /// The last drawn frame, sRGB, `height * width * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        self.raster.rgb()
    }
}

/// Data shared by all shaders of a frame.
#[derive(Clone, Copy)]
struct ClothesShader<'a> {
    rest: &'a [Vec3],
    regions: &'a [Region],
    light: &'a Light,
    shadows: &'a ShadowMap,
}

impl ClothesShader<'_> {
    fn color(&self, clothes: &Clothes, surface: &Surface) -> Rgb {
        let region = self.regions[surface.face];
        let width = surface.position[2] / surface.camera.fx;
        let albedo = clothes.albedo(region, surface.interpolate(self.rest), width);
        let lit = self.shadows.sunlit_fraction(surface.position, surface.normal);
        let gloss = clothes.gloss(region);
        if gloss > 0.0 {
            return self.light.shade_glossy(albedo, surface.normal, surface.position, gloss, lit);
        }
        self.light.shade(albedo, surface.normal, lit)
    }
}

/// Poses an actor in camera coordinates; `None` if it is not in front of the camera.
fn pose_actor<'a>(actor: &'a Actor, body: &Body, view: &CameraView, secs: f64) -> Option<PosedActor<'a>> {
    let pose = actor.walker.pose_at(secs);
    let params = pose.params_in_camera(actor.appearance.betas, &view.camera_from_world);
    let mut posed = body.pose(&params);
    let translation = sub(view.to_camera(pose.pelvis_in_world), posed.joints24[0]);
    posed.vertices.iter_mut().for_each(|vertex| *vertex = add(*vertex, translation));
    if posed.vertices.iter().any(|vertex| vertex[2] < MIN_DEPTH_M) {
        return None;
    }
    let mut normals = Vec::new();
    vertex_normals(&posed.vertices, &body.faces, &mut normals);
    let mesh = Mesh { positions: &posed.vertices, faces: &body.faces, normals: None };
    let silhouette = silhouette(&view.camera, &mesh);
    Some(PosedActor { actor, params, translation, posed, normals, silhouette })
}

impl PosedActor<'_> {
    fn mesh<'m>(&'m self, body: &'m Body) -> Mesh<'m> {
        Mesh { positions: &self.posed.vertices, faces: &body.faces, normals: Some(&self.normals) }
    }

    /// Ground truth of the actor; `None` if it is outside the image.
    fn truth(&self, camera: &Camera, raster: &Raster) -> Option<TruthPerson> {
        let visibility = raster.visibility(self.actor.id);
        let bbox = self.silhouette.bbox.filter(|_| visibility.covered_samples > 0)?;
        let share = visibility.visible_samples as f64 / self.silhouette.samples.max(1) as f64;
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
            visible_bbox: visibility.visible_box,
            visible_share: Some(share.min(1.0) as f32),
            body: Some(body),
        })
    }
}
