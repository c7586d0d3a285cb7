//! The tensors of a detector: keys and shapes of detectron2's state dict for a configuration.
//!
//! In: a [`Config`]; out: its tensors in the order of the state dict. Counters of batches (`num_batches_tracked`), which
//! RegNetY's files also hold, are left out: nothing reads them.

use super::config::{Backbone, BoxHead, Config, Norm, RegNetY, ResNeXt, Vit};
use crate::nn::TensorSpec;

/// Side of the maps that the box heads read, cells.
const BOX_SIDE: usize = 7;
/// Anchors at a position of a level.
const ANCHORS: usize = 3;
/// Levels that a feature pyramid network is built of: p2 to p5.
const PYRAMID_LEVELS: std::ops::Range<usize> = 2..6;
/// The four values of a batch norm.
const BATCH_NORM: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

impl Config {
    /// The tensors of a detector's state dict, without counters of batches.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut specs = Specs::default();
        match &self.backbone {
            Backbone::Vit(vit) => {
                specs.vit(vit);
                specs.simple_pyramid(vit.dim, self.channels);
            }
            Backbone::Regnety(regnet) => {
                specs.regnet(regnet);
                specs.fpn(&regnet.widths, self.channels, Norm::Batch);
            }
            Backbone::Resnext(resnext) => {
                specs.resnext(resnext);
                let widths: Vec<usize> =
                    (0..resnext.blocks.len()).map(|stage| resnext.first_width << stage).collect();
                specs.fpn(&widths, self.channels, Norm::None);
            }
        }
        specs.rpn(self.rpn.convolutions, self.channels);
        specs.box_heads(&self.box_head, self.channels, self.classes);
        specs.mask_head(self);
        specs.all
    }

    /// Number of trained parameters. The statistics of batch norms do not count, and ResNeXt's batch norms do not either,
    /// because they are frozen.
    pub fn parameters(&self) -> usize {
        let is_frozen = |key: &str| {
            matches!(self.backbone, Backbone::Resnext(_))
                && key.starts_with("backbone.")
                && key.contains(".norm.")
        };
        let is_trained = |spec: &TensorSpec| !spec.key.contains(".running_") && !is_frozen(&spec.key);
        let trained = self.tensors().into_iter().filter(is_trained);
        trained.map(|spec| spec.shape.iter().product::<usize>()).sum()
    }
}

/// Collects the tensors.
#[derive(Default)]
struct Specs {
    all: Vec<TensorSpec>,
}

impl Specs {
    fn add(&mut self, key: String, shape: &[usize]) {
        self.all.push(TensorSpec { key, shape: shape.to_vec() });
    }

    fn weight_and_bias(&mut self, name: &str, shape: &[usize]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    /// The norm `name` over `channels`; none if the convolution before it has a bias instead.
    fn norm(&mut self, name: &str, channels: usize, norm: Norm) {
        match norm {
            Norm::None => {}
            Norm::Batch => BATCH_NORM.iter().for_each(|part| self.add(format!("{name}.{part}"), &[channels])),
            Norm::Layer => self.weight_and_bias(name, &[channels]),
        }
    }

    /// The convolution `name`, with the norm `name.norm` or a bias.
    fn conv(&mut self, name: &str, outputs: usize, inputs: usize, kernel: usize, norm: Norm) {
        let shape = [outputs, inputs, kernel, kernel];
        match norm {
            Norm::None => self.weight_and_bias(name, &shape),
            _ => {
                self.add(format!("{name}.weight"), &shape);
                self.norm(&format!("{name}.norm"), outputs, norm);
            }
        }
    }

    fn vit(&mut self, vit: &Vit) {
        let Vit { dim, patch, .. } = *vit;
        let (net, head_dim, hidden) = ("backbone.net", dim / vit.heads.max(1), dim * vit.mlp_ratio);
        let positions = (vit.pretrain_side / patch.max(1)).pow(2) + 1;
        self.add(format!("{net}.pos_embed"), &[1, positions, dim]);
        self.weight_and_bias(&format!("{net}.patch_embed.proj"), &[dim, 3, patch, patch]);
        for block in 0..vit.depth {
            let name = format!("{net}.blocks.{block}");
            let is_global = vit.global_blocks.contains(&block);
            let side = if is_global { vit.image_side / patch.max(1) } else { vit.window };
            self.weight_and_bias(&format!("{name}.norm1"), &[dim]);
            for axis in ["h", "w"] {
                self.add(format!("{name}.attn.rel_pos_{axis}"), &[(2 * side).saturating_sub(1), head_dim]);
            }
            self.weight_and_bias(&format!("{name}.attn.qkv"), &[3 * dim, dim]);
            self.weight_and_bias(&format!("{name}.attn.proj"), &[dim, dim]);
            self.weight_and_bias(&format!("{name}.norm2"), &[dim]);
            self.weight_and_bias(&format!("{name}.mlp.fc1"), &[hidden, dim]);
            self.weight_and_bias(&format!("{name}.mlp.fc2"), &[dim, hidden]);
        }
    }

    fn simple_pyramid(&mut self, dim: usize, channels: usize) {
        // weights of a transposed convolution are (inputs, outputs, 2, 2)
        let deconv = |specs: &mut Specs, name: &str, inputs: usize| {
            specs.add(format!("{name}.weight"), &[inputs, inputs / 2, 2, 2]);
            specs.add(format!("{name}.bias"), &[inputs / 2]);
        };
        let (two, three) = ("backbone.simfp_2", "backbone.simfp_3");
        deconv(self, &format!("{two}.0"), dim);
        self.norm(&format!("{two}.1"), dim / 2, Norm::Layer);
        deconv(self, &format!("{two}.3"), dim / 2);
        self.pyramid_level(two, 4, dim / 4, channels);
        deconv(self, &format!("{three}.0"), dim);
        self.pyramid_level(three, 1, dim / 2, channels);
        self.pyramid_level("backbone.simfp_4", 0, dim, channels);
        self.pyramid_level("backbone.simfp_5", 1, dim, channels);
    }

    /// The two convolutions at the end of a level, numbered from `first` on.
    fn pyramid_level(&mut self, name: &str, first: usize, inputs: usize, channels: usize) {
        self.conv(&format!("{name}.{first}"), channels, inputs, 1, Norm::Layer);
        self.conv(&format!("{name}.{}", first + 1), channels, channels, 3, Norm::Layer);
    }

    fn regnet(&mut self, regnet: &RegNetY) {
        let bottom_up = "backbone.bottom_up";
        // the norms of RegNet are beside their convolutions, not below them
        let conv = |specs: &mut Specs, name: &str, norm: &str, shape: [usize; 4]| {
            specs.add(format!("{name}.weight"), &shape);
            specs.norm(norm, shape[0], Norm::Batch);
        };
        let stem = format!("{bottom_up}.stem");
        conv(self, &format!("{stem}.conv"), &format!("{stem}.bn"), [regnet.stem, 3, 3, 3]);
        let mut inputs = regnet.stem;
        for (stage, (&width, &depth)) in regnet.widths.iter().zip(&regnet.depths).enumerate() {
            for block in 0..depth {
                let name = format!("{bottom_up}.s{}.b{}", stage + 1, block + 1);
                if block == 0 {
                    conv(self, &format!("{name}.proj"), &format!("{name}.bn"), [width, inputs, 1, 1]);
                }
                let f = format!("{name}.f");
                let squeezed = regnet.squeezed(inputs);
                conv(self, &format!("{f}.a"), &format!("{f}.a_bn"), [width, inputs, 1, 1]);
                conv(self, &format!("{f}.b"), &format!("{f}.b_bn"), [width, regnet.group_width, 3, 3]);
                self.weight_and_bias(&format!("{f}.se.f_ex.0"), &[squeezed, width, 1, 1]);
                self.weight_and_bias(&format!("{f}.se.f_ex.2"), &[width, squeezed, 1, 1]);
                conv(self, &format!("{f}.c"), &format!("{f}.c_bn"), [width, width, 1, 1]);
                inputs = width;
            }
        }
    }

    fn resnext(&mut self, resnext: &ResNeXt) {
        let bottom_up = "backbone.bottom_up";
        self.conv(&format!("{bottom_up}.stem.conv1"), resnext.stem, 3, 7, Norm::Batch);
        let mut inputs = resnext.stem;
        for (stage, &blocks) in resnext.blocks.iter().enumerate() {
            let (outputs, group_width) = (resnext.first_width << stage, resnext.group_width << stage);
            let width = resnext.groups * group_width;
            for block in 0..blocks {
                let name = format!("{bottom_up}.res{}.{block}", stage + 2);
                if inputs != outputs {
                    self.conv(&format!("{name}.shortcut"), outputs, inputs, 1, Norm::Batch);
                }
                self.conv(&format!("{name}.conv1"), width, inputs, 1, Norm::Batch);
                self.conv(&format!("{name}.conv2"), width, group_width, 3, Norm::Batch);
                self.conv(&format!("{name}.conv3"), outputs, width, 1, Norm::Batch);
                inputs = outputs;
            }
        }
    }

    fn fpn(&mut self, widths: &[usize], channels: usize, norm: Norm) {
        for (level, &width) in PYRAMID_LEVELS.zip(widths) {
            self.conv(&format!("backbone.fpn_lateral{level}"), channels, width, 1, norm);
            self.conv(&format!("backbone.fpn_output{level}"), channels, channels, 3, norm);
        }
    }

    fn rpn(&mut self, convolutions: usize, channels: usize) {
        let head = "proposal_generator.rpn_head";
        for index in 0..convolutions {
            let name =
                if convolutions > 1 { format!("{head}.conv.conv{index}") } else { format!("{head}.conv") };
            self.weight_and_bias(&name, &[channels, channels, 3, 3]);
        }
        self.weight_and_bias(&format!("{head}.objectness_logits"), &[ANCHORS, channels, 1, 1]);
        self.weight_and_bias(&format!("{head}.anchor_deltas"), &[4 * ANCHORS, channels, 1, 1]);
    }

    fn box_heads(&mut self, head: &BoxHead, channels: usize, classes: usize) {
        let is_cascade = head.stages > 1;
        for stage in 0..head.stages {
            let at = |name: &str| match is_cascade {
                true => format!("roi_heads.{name}.{stage}"),
                false => format!("roi_heads.{name}"),
            };
            let (features, predictor) = (at("box_head"), at("box_predictor"));
            for index in 1..=head.convolutions {
                self.conv(&format!("{features}.conv{index}"), channels, channels, 3, head.norm);
            }
            let mut inputs = channels * BOX_SIDE * BOX_SIDE;
            for index in 1..=head.layers {
                self.weight_and_bias(&format!("{features}.fc{index}"), &[head.width, inputs]);
                inputs = head.width;
            }
            // one box for all classes in a cascade, a box for each class otherwise; the background has no box
            let boxes = if is_cascade { 1 } else { classes };
            self.weight_and_bias(&format!("{predictor}.cls_score"), &[classes + 1, inputs]);
            self.weight_and_bias(&format!("{predictor}.bbox_pred"), &[4 * boxes, inputs]);
        }
    }

    fn mask_head(&mut self, config: &Config) {
        let (head, channels) = ("roi_heads.mask_head", config.channels);
        for index in 1..=config.mask_head.convolutions {
            self.conv(&format!("{head}.mask_fcn{index}"), channels, channels, 3, config.mask_head.norm);
        }
        self.weight_and_bias(&format!("{head}.deconv"), &[channels, channels, 2, 2]);
        self.weight_and_bias(&format!("{head}.predictor"), &[config.classes, channels, 1, 1]);
    }
}

impl RegNetY {
    /// Channels of the squeeze in a block of `inputs` channels; halves are rounded to even, as Python does.
    pub fn squeezed(&self, inputs: usize) -> usize {
        (self.squeeze * inputs as f64).round_ties_even() as usize
    }
}
