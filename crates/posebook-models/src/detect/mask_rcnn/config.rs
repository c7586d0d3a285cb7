//! The sizes of the published detectors, and what differs between them.
//!
//! A configuration is one of the three published ones ([`Config::published`]), or is written out in the TOML of a detector
//! set, so that small networks of the same structure can be tested.

use serde::{Deserialize, Serialize};

/// The published detectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// ViTDet-H with a cascade of box heads: the default of 4D-Humans' demo and of PHALP.
    Vitdet,
    /// RegNetY-4GF with FPN: `--detector regnety` of 4D-Humans' demo, `detector=maskrcnn` of PHALP.
    Regnety,
    /// ResNeXt-101 32x8d with FPN: PHALP's `detector_x`, which computes masks of provided boxes.
    X101,
}

/// Sizes of a detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How images are prepared.
    pub input: Input,
    /// The network from pixels to feature maps.
    pub backbone: Backbone,
    /// Channels of the feature maps p2 to p6.
    pub channels: usize,
    /// Classes without the background. Class 0 is the person.
    pub classes: usize,
    /// The region proposal network.
    pub rpn: Rpn,
    /// The head that refines boxes and scores classes.
    pub box_head: BoxHead,
    /// The head that computes masks.
    pub mask_head: MaskHead,
}

/// How images are scaled, ordered and padded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Length of the shorter side after scaling, pixels, unless the longer side would exceed `longest`.
    pub shortest: usize,
    /// Largest length of the longer side after scaling, pixels.
    pub longest: usize,
    /// Order of the network's input channels.
    pub channels: ChannelOrder,
    /// Padding to the right and below.
    pub padding: InputPadding,
}

/// Order of color channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Padding of a scaled image to the right and below, with zeros after normalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputPadding {
    /// To a square of this side.
    Square(usize),
    /// To multiples of this length.
    Multiple(usize),
}

/// The network from pixels to feature maps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Backbone {
    /// A vision transformer with a simple feature pyramid.
    Vit(Vit),
    /// RegNetY with a feature pyramid network.
    Regnety(RegNetY),
    /// ResNeXt with a feature pyramid network.
    Resnext(ResNeXt),
}

/// Sizes of a vision transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vit {
    /// Values of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Width of the MLP's hidden layer, in units of `dim`.
    pub mlp_ratio: usize,
    /// Side of an attention window, tokens.
    pub window: usize,
    /// Blocks whose attention is over all tokens.
    pub global_blocks: Vec<usize>,
    /// Side of a patch, pixels.
    pub patch: usize,
    /// Side of the images that the position embeddings were trained on, pixels.
    pub pretrain_side: usize,
    /// Side of the images that the relative positions of global blocks were trained on, pixels.
    pub image_side: usize,
}

/// Sizes of a RegNetY.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegNetY {
    /// Channels of the stem.
    pub stem: usize,
    /// Channels of each stage.
    pub widths: Vec<usize>,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Channels of a group of the 3 x 3 convolutions.
    pub group_width: usize,
    /// Width of the squeeze, as a fraction of a block's input channels.
    pub squeeze: f64,
}

/// Sizes of a ResNeXt with bottleneck blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNeXt {
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Groups of the 3 x 3 convolutions.
    pub groups: usize,
    /// Channels of a group in the first stage; doubled from stage to stage.
    pub group_width: usize,
    /// Channels of the stem.
    pub stem: usize,
    /// Output channels of the first stage; doubled from stage to stage.
    pub first_width: usize,
}

/// Sizes of a region proposal network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rpn {
    /// 3 x 3 convolutions before logits and deltas.
    pub convolutions: usize,
    /// Best anchors of a level before non-maximum suppression.
    pub per_level: usize,
    /// Proposals of an image, of all levels.
    pub proposals: usize,
}

/// Sizes of the heads that refine boxes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxHead {
    /// Number of heads, 1 or 3. Each but the first refines the boxes of the one before it.
    pub stages: usize,
    /// 3 x 3 convolutions of a head.
    pub convolutions: usize,
    /// Norm after each convolution.
    pub norm: Norm,
    /// Linear layers of a head.
    pub layers: usize,
    /// Outputs of each linear layer.
    pub width: usize,
    /// Of two boxes of a class whose intersection over union is larger, the one with the lower score is removed.
    pub overlap: f64,
}

/// Sizes of the head that computes masks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskHead {
    /// 3 x 3 convolutions before the transposed one.
    pub convolutions: usize,
    /// Norm after each convolution.
    pub norm: Norm,
}

/// Norm after a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// None; the convolution has a bias.
    None,
    /// Batch norm with stored statistics, folded into the convolution.
    Batch,
    /// Layer norm over the channels of each pixel.
    Layer,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Architecture; 3] = [Architecture::Vitdet, Architecture::Regnety, Architecture::X101];

    /// Name in settings, tables and file names.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Vitdet => "vitdet",
            Architecture::Regnety => "regnety",
            Architecture::X101 => "x101",
        }
    }
}

impl Config {
    /// The published sizes.
    pub fn published(architecture: Architecture) -> Config {
        let fpn_input = Input {
            shortest: 800,
            longest: 1333,
            channels: ChannelOrder::Bgr,
            padding: InputPadding::Multiple(32),
        };
        let rpn = |convolutions| Rpn { convolutions, per_level: 1000, proposals: 1000 };
        match architecture {
            Architecture::Vitdet => Config {
                input: Input {
                    shortest: 1024,
                    longest: 1024,
                    channels: ChannelOrder::Rgb,
                    padding: InputPadding::Square(1024),
                },
                backbone: Backbone::Vit(Vit {
                    dim: 1280,
                    depth: 32,
                    heads: 16,
                    mlp_ratio: 4,
                    window: 14,
                    global_blocks: vec![7, 15, 23, 31],
                    patch: 16,
                    pretrain_side: 224,
                    image_side: 1024,
                }),
                channels: 256,
                classes: 80,
                rpn: rpn(2),
                box_head: BoxHead {
                    stages: 3,
                    convolutions: 4,
                    norm: Norm::Layer,
                    layers: 1,
                    width: 1024,
                    overlap: 0.5,
                },
                mask_head: MaskHead { convolutions: 4, norm: Norm::Layer },
            },
            Architecture::Regnety => Config {
                input: fpn_input,
                backbone: Backbone::Regnety(RegNetY {
                    stem: 32,
                    widths: vec![128, 192, 512, 1088],
                    depths: vec![2, 6, 12, 2],
                    group_width: 64,
                    squeeze: 0.25,
                }),
                channels: 256,
                classes: 80,
                rpn: rpn(2),
                box_head: BoxHead {
                    stages: 1,
                    convolutions: 4,
                    norm: Norm::Batch,
                    layers: 1,
                    width: 1024,
                    overlap: 0.4,
                },
                mask_head: MaskHead { convolutions: 4, norm: Norm::Batch },
            },
            Architecture::X101 => Config {
                input: fpn_input,
                backbone: Backbone::Resnext(ResNeXt {
                    blocks: vec![3, 4, 23, 3],
                    groups: 32,
                    group_width: 8,
                    stem: 64,
                    first_width: 256,
                }),
                channels: 256,
                classes: 80,
                rpn: rpn(1),
                box_head: BoxHead {
                    stages: 1,
                    convolutions: 0,
                    norm: Norm::None,
                    layers: 2,
                    width: 1024,
                    overlap: 0.4,
                },
                mask_head: MaskHead { convolutions: 4, norm: Norm::None },
            },
        }
    }

    /// The published structure in a size that runs in a fraction of a second: the sizes of the goldens.
    pub fn small(architecture: Architecture) -> Config {
        let mut config = Config::published(architecture);
        (config.channels, config.classes) = (32, 6);
        (config.rpn.per_level, config.rpn.proposals, config.box_head.width) = (50, 40, 64);
        config.input = Input { shortest: 160, longest: 266, ..config.input };
        match &mut config.backbone {
            Backbone::Vit(vit) => {
                (vit.dim, vit.depth, vit.heads, vit.window) = (64, 4, 4, 6);
                (vit.global_blocks, vit.image_side) = (vec![1, 3], 256);
                config.input.shortest = 256;
                config.input.longest = 256;
                config.input.padding = InputPadding::Square(256);
            }
            Backbone::Regnety(regnet) => {
                (regnet.stem, regnet.group_width) = (16, 8);
                (regnet.widths, regnet.depths) = (vec![16, 32, 64, 128], vec![1, 1, 3, 2]);
            }
            Backbone::Resnext(resnext) => {
                (resnext.groups, resnext.group_width, resnext.stem, resnext.first_width) = (4, 2, 16, 32);
                resnext.blocks = vec![3, 4, 6, 3];
            }
        }
        config
    }
}
