//! Checks that sizes which are written out in a file fit each other.

use super::config::{Backbone, Config, InputPadding, RegNetY, ResNeXt, Vit};
use super::fpn::LARGEST_STRIDE;

/// Pixels of the image to a pixel of the map that the simple pyramid is built of.
const VIT_STRIDE: usize = 16;
/// Stages of a convolutional backbone: they make the maps that p2 to p5 are built of.
const STAGES: usize = 4;
/// Largest size of anything: products of a few sizes do not overflow, and no published network comes close.
const LARGEST: usize = 1 << 14;
/// Weights of box regression are known for one head, and for a cascade of three.
const HEAD_STAGES: [usize; 2] = [1, 3];

impl Config {
    /// Checks that the sizes fit each other, so that a network of them can be built.
    ///
    /// # Errors
    /// What does not fit, as text that names the setting.
    pub fn validate(&self) -> Result<(), String> {
        let (input, head) = (&self.input, &self.box_head);
        sizes(&[
            ("input.shortest", input.shortest),
            ("input.longest", input.longest),
            ("channels", self.channels),
            ("classes", self.classes),
            ("rpn.convolutions", self.rpn.convolutions),
            ("rpn.per_level", self.rpn.per_level),
            ("rpn.proposals", self.rpn.proposals),
            ("box_head.layers", head.layers),
            ("box_head.width", head.width),
        ])?;
        let (name, padding) = match input.padding {
            InputPadding::Square(side) => ("input.padding.square", side),
            InputPadding::Multiple(length) => ("input.padding.multiple", length),
        };
        sizes(&[(name, padding)])?;
        require(padding.is_multiple_of(LARGEST_STRIDE), || {
            format!("{name} is {padding}, but has to be a multiple of {LARGEST_STRIDE}")
        })?;
        if let InputPadding::Square(side) = input.padding {
            require(input.longest <= side, || {
                format!("input.longest is {}, more than the padded side of {side}", input.longest)
            })?;
        }
        require(HEAD_STAGES.contains(&head.stages), || {
            format!("box_head.stages is {}, but has to be 1 or 3", head.stages)
        })?;
        let is_few = |count: usize| count <= 64;
        require(is_few(head.convolutions) && is_few(self.mask_head.convolutions), || {
            "a head has more than 64 convolutions".to_string()
        })?;
        require(is_few(self.rpn.convolutions) && is_few(head.layers), || {
            "rpn.convolutions or box_head.layers is more than 64".to_string()
        })?;
        require(head.overlap > 0.0 && head.overlap <= 1.0, || {
            format!("box_head.overlap is {}, but has to be above 0 and at most 1", head.overlap)
        })?;
        match &self.backbone {
            Backbone::Vit(vit) => vit.validate(),
            Backbone::Regnety(regnet) => regnet.validate(),
            Backbone::Resnext(resnext) => resnext.validate(),
        }
    }
}

impl Vit {
    fn validate(&self) -> Result<(), String> {
        sizes(&[
            ("dim", self.dim),
            ("depth", self.depth),
            ("heads", self.heads),
            ("mlp_ratio", self.mlp_ratio),
            ("window", self.window),
            ("pretrain_side", self.pretrain_side),
            ("image_side", self.image_side),
        ])?;
        require(self.patch == VIT_STRIDE, || {
            format!("patch is {}, but the pyramid needs {VIT_STRIDE}", self.patch)
        })?;
        require(self.dim.is_multiple_of(4 * self.heads), || {
            format!("dim is {}, but has to be a multiple of 4 heads, {}", self.dim, 4 * self.heads)
        })?;
        require(self.pretrain_side >= self.patch && self.image_side >= self.patch, || {
            format!("pretrain_side and image_side have to be at least a patch, {}", self.patch)
        })?;
        match self.global_blocks.iter().find(|&&block| block >= self.depth) {
            Some(block) => Err(format!("global_blocks has {block}, but depth is {}", self.depth)),
            None => Ok(()),
        }
    }
}

impl RegNetY {
    fn validate(&self) -> Result<(), String> {
        sizes(&[("stem", self.stem), ("group_width", self.group_width)])?;
        require(self.widths.len() == STAGES && self.depths.len() == STAGES, || {
            format!("widths and depths need {STAGES} stages")
        })?;
        for (&width, &depth) in self.widths.iter().zip(&self.depths) {
            sizes(&[("widths", width), ("depths", depth)])?;
            require(width.is_multiple_of(self.group_width), || {
                format!("a width is {width}, but has to be a multiple of group_width, {}", self.group_width)
            })?;
            require(self.squeezed(width) > 0, || format!("squeeze leaves no channel of {width}"))?;
        }
        require(self.squeeze > 0.0 && self.squeeze <= 1.0, || {
            format!("squeeze is {}, but has to be above 0 and at most 1", self.squeeze)
        })?;
        require(self.squeezed(self.stem) > 0, || format!("squeeze leaves no channel of {}", self.stem))
    }
}

impl ResNeXt {
    fn validate(&self) -> Result<(), String> {
        sizes(&[
            ("groups", self.groups),
            ("group_width", self.group_width),
            ("stem", self.stem),
            ("first_width", self.first_width),
        ])?;
        require(self.blocks.len() == STAGES, || format!("blocks needs {STAGES} stages"))?;
        for &blocks in &self.blocks {
            sizes(&[("blocks", blocks)])?;
        }
        let (last_width, last_group) = (self.first_width << 3, (self.groups * self.group_width) << 3);
        sizes(&[("first_width of the last stage", last_width), ("groups of the last stage", last_group)])
    }
}

/// Each of the named sizes is at least 1 and not absurd.
fn sizes(named: &[(&str, usize)]) -> Result<(), String> {
    match named.iter().find(|(_, size)| !(1..=LARGEST).contains(size)) {
        Some((name, size)) => Err(format!("{name} is {size}, but has to be from 1 to {LARGEST}")),
        None => Ok(()),
    }
}

fn require(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::super::config::Architecture;
    use super::*;

    #[test]
    fn published_and_small_sizes_are_valid() {
        for architecture in Architecture::ALL {
            assert_eq!(Config::published(architecture).validate(), Ok(()));
            assert_eq!(Config::small(architecture).validate(), Ok(()));
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let problem = |architecture, change: fn(&mut Config)| {
            let mut config = Config::small(architecture);
            change(&mut config);
            config.validate().unwrap_err()
        };
        let vit = |change| problem(Architecture::Vitdet, change);
        assert!(vit(|config| config.classes = 0).contains("classes is 0"));
        assert!(vit(|config| config.input.longest = 300).contains("padded side of 256"));
        assert!(vit(|config| config.input.padding = InputPadding::Square(100)).contains("multiple of 32"));
        assert!(vit(|config| config.box_head.stages = 2).contains("1 or 3"));
        assert!(vit(|config| config.box_head.overlap = f64::NAN).contains("NaN"));
        let problem_of_vit = |change: fn(&mut Vit)| {
            let Backbone::Vit(mut vit) = Config::small(Architecture::Vitdet).backbone else { unreachable!() };
            change(&mut vit);
            vit.validate().unwrap_err()
        };
        assert!(problem_of_vit(|vit| vit.heads = 3).contains("multiple of 4 heads"));
        assert!(problem_of_vit(|vit| vit.patch = 0).contains("patch is 0"));
        assert!(problem_of_vit(|vit| vit.global_blocks = vec![4]).contains("depth is 4"));
        assert!(problem_of_vit(|vit| vit.depth = usize::MAX).contains("depth"));
        let regnet = |change: fn(&mut RegNetY)| {
            let Backbone::Regnety(mut regnet) = Config::small(Architecture::Regnety).backbone else {
                unreachable!()
            };
            change(&mut regnet);
            regnet.validate().unwrap_err()
        };
        assert!(regnet(|regnet| regnet.widths = vec![16, 32, 64]).contains("4 stages"));
        assert!(regnet(|regnet| regnet.widths[1] = 33).contains("group_width"));
        assert!(regnet(|regnet| regnet.squeeze = 0.0).contains("squeeze"));
        let Backbone::Resnext(mut resnext) = Config::small(Architecture::X101).backbone else {
            unreachable!()
        };
        resnext.first_width = 4096;
        assert!(resnext.validate().unwrap_err().contains("last stage"));
    }
}
