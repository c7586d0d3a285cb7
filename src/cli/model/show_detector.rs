//! `posebook model show` for a person detector: dimensions, operations and memory by the size of an image, and what fits.

use super::show::{Args, mib};
use anyhow::{Result, ensure};
use candle_core::Device;
use posebook_core::frame::{Frame, FrameSize};
use posebook_core::memory::heap::{self, HeapInterval};
use posebook_models::detect::mask_rcnn::preprocess::Geometry;
use posebook_models::detect::mask_rcnn::{
    Backbone, BoxHead, Budget, ChannelOrder, Config, Footprint, InputPadding, Options,
};
use posebook_models::hmr2::Precision;
use posebook_models::recovery::DetectorSet;
use serde::Serialize;

/// Values of `detect.budget_mib` that are compared; the first that fits is recommended.
const BUDGETS_MIB: [Option<u64>; 4] = [None, Some(1024), Some(256), Some(64)];
/// People of the image whose total cost is shown.
const PEOPLE: usize = 10;
const NOTE: &str = "peaks are of the heap in a pass over one image on the CPU, weights included, with the masks of 100 people; \
                    on a GPU attention and regions are computed by candle's operators, whose buffers are larger: \
                    `detect.budget_mib` bounds them, with the same result. The memory of HMR2 is added: `posebook model show \
                    hmr2` shows it, and `posebook plan` that of a whole run";

/// The properties of a detector.
#[derive(Serialize)]
struct DetectorReport {
    name: String,
    description: String,
    weights: String,
    detector: &'static str,
    config: Config,
    parameters: usize,
    images: Vec<ImageReport>,
    precisions: Vec<PrecisionReport>,
    note: &'static str,
}

/// Multiplications and additions for one image, each counted as one operation.
#[derive(Serialize)]
struct ImageReport {
    width: usize,
    height: usize,
    /// The network's input after scaling and padding.
    network_width: usize,
    network_height: usize,
    backbone_flop: u64,
    pyramid_flop: u64,
    proposals_flop: u64,
    boxes_flop: u64,
    mask_flop: u64,
    /// With the masks of ten people.
    total_flop: u64,
}

#[derive(Serialize)]
struct PrecisionReport {
    precision: Precision,
    weights_bytes: u64,
    peaks: Vec<Peak>,
    fits: Vec<Fit>,
}

/// The largest heap of a pass.
#[derive(Serialize)]
struct Peak {
    width: usize,
    height: usize,
    /// `None` without a budget.
    budget_mib: Option<u64>,
    model_bytes: u64,
    worst_moment: &'static str,
    /// `None` if it was not measured.
    measured_bytes: Option<u64>,
}

/// Whether a pass over the most expensive of the images fits into a memory.
#[derive(Serialize)]
struct Fit {
    memory_bytes: u64,
    fits: bool,
    /// The `detect.budget_mib` that is needed for it.
    budget_mib: Option<u64>,
}

/// Prints the properties of the detector.
///
/// # Errors
/// If a pass to be measured fails.
pub fn run(set: &DetectorSet, args: &Args) -> Result<()> {
    let config = &set.config;
    let precisions = args
        .precision
        .iter()
        .map(|&precision| precision_report(set, precision, args))
        .collect::<Result<_>>()?;
    let report = DetectorReport {
        name: set.name.clone(),
        description: set.description.clone(),
        weights: set.identity(),
        detector: set.architecture.name(),
        parameters: config.parameters(),
        images: args.image.iter().map(|&size| image_report(config, size)).collect(),
        precisions,
        config: config.clone(),
        note: NOTE,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn image_report(config: &Config, size: FrameSize) -> ImageReport {
    let padded = Geometry::new(&config.input, size).padded;
    let cost = config.cost(padded.height, padded.width);
    ImageReport {
        width: size.width,
        height: size.height,
        network_width: padded.width,
        network_height: padded.height,
        backbone_flop: cost.backbone,
        pyramid_flop: cost.pyramid,
        proposals_flop: cost.proposals,
        boxes_flop: cost.boxes,
        mask_flop: cost.mask,
        total_flop: cost.total(PEOPLE),
    }
}

fn precision_report(set: &DetectorSet, precision: Precision, args: &Args) -> Result<PrecisionReport> {
    let footprint = Footprint::new(&set.config, precision);
    let mut peaks = Vec::new();
    for &size in &args.image {
        let padded = Geometry::new(&set.config.input, size).padded;
        for budget_mib in BUDGETS_MIB {
            let worst = footprint.peak_phase(padded.height, padded.width, 1, budget(budget_mib));
            let measured = || measure(set, precision, budget_mib, size);
            peaks.push(Peak {
                width: size.width,
                height: size.height,
                budget_mib,
                model_bytes: footprint.weights_bytes + worst.bytes,
                worst_moment: worst.name,
                measured_bytes: args.measure.is_some().then(measured).transpose()?,
            });
        }
    }
    let most = |budget_mib: Option<u64>| {
        let same = peaks.iter().filter(|peak| peak.budget_mib == budget_mib);
        same.map(|peak| peak.model_bytes).max().unwrap_or_default()
    };
    let fit = |&memory_bytes: &u64| {
        let found = BUDGETS_MIB.into_iter().find(|budget_mib| most(*budget_mib) <= memory_bytes);
        Fit { memory_bytes, fits: found.is_some(), budget_mib: found.flatten() }
    };
    let fits = args.budget.iter().map(fit).collect();
    Ok(PrecisionReport { precision, weights_bytes: footprint.weights_bytes, peaks, fits })
}

fn budget(mib: Option<u64>) -> Budget {
    mib.map(Budget::from_mib).unwrap_or_default()
}

/// Measures the heap's peak of a pass over a gray image, weights included.
fn measure(set: &DetectorSet, precision: Precision, budget_mib: Option<u64>, size: FrameSize) -> Result<u64> {
    ensure!(heap::is_counting(), "this program does not count its heap");
    let before = heap::current_bytes();
    let options = Options { precision, budget: budget(budget_mib), ..Options::default() };
    let detector = set.load_detector(&Device::Cpu, options)?;
    let held = heap::current_bytes().saturating_sub(before);
    let frame = Frame::new(0, 0.0, size.width, size.height, vec![128; 3 * size.width * size.height]);
    let interval = HeapInterval::start();
    detector.detect(&[&frame])?;
    Ok(held + interval.peak_bytes())
}

fn print(report: &DetectorReport) {
    println!("{}: {}", report.name, report.description);
    print_dimensions(&report.config);
    println!("    {:.2} million parameters", report.parameters as f64 / 1e6);
    println!("    weights: {}", report.weights);
    print_cost(&report.images);
    print_peaks(report);
    print_fits(report);
    println!("\n{}", report.note);
}

fn print_dimensions(config: &Config) {
    let input = &config.input;
    let order = match input.channels {
        ChannelOrder::Rgb => "RGB",
        ChannelOrder::Bgr => "BGR",
    };
    let padding = match input.padding {
        InputPadding::Square(side) => format!("padded to {side} x {side}"),
        InputPadding::Multiple(length) => format!("padded to multiples of {length}"),
    };
    println!(
        "    images in {order}, the shorter side of {} pixels, the longer of at most {}, {padding}",
        input.shortest, input.longest
    );
    match &config.backbone {
        Backbone::Vit(vit) => {
            let (hidden, window, global) = (vit.dim * vit.mlp_ratio, vit.window, vit.global_blocks.len());
            println!(
                "    vision transformer: {} blocks of {}, {} heads, perceptron of {hidden}, windows of {window} x {window} \
                 tokens, {global} blocks over all tokens",
                vit.depth, vit.dim, vit.heads
            );
        }
        Backbone::Regnety(regnet) => println!(
            "    RegNetY: {:?} blocks of {:?} channels, groups of {}",
            regnet.depths, regnet.widths, regnet.group_width
        ),
        Backbone::Resnext(resnext) => println!(
            "    ResNeXt: {:?} blocks of {} to {} channels, {} groups",
            resnext.blocks,
            resnext.first_width,
            resnext.first_width << resnext.blocks.len().saturating_sub(1),
            resnext.groups
        ),
    }
    let BoxHead { stages, convolutions, layers, width, .. } = config.box_head;
    let counted =
        |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    println!(
        "    pyramid of {} channels; {} proposals; {} of {} and {} of {width}; {} classes",
        config.channels,
        config.rpn.proposals,
        counted(stages, "box head"),
        counted(convolutions, "convolution"),
        counted(layers, "linear layer"),
        config.classes
    );
}

fn print_cost(images: &[ImageReport]) {
    println!("\nGFLOP of an image (multiplications and additions), in total with {PEOPLE} people");
    println!(
        "{:<12}{:>12}{:>10}{:>10}{:>11}{:>9}{:>11}{:>10}",
        "image", "network", "backbone", "pyramid", "proposals", "boxes", "mask each", "total"
    );
    for image in images {
        let giga = |flop: u64| flop as f64 / 1e9;
        println!(
            "{:<12}{:>12}{:>10.1}{:>10.1}{:>11.1}{:>9.1}{:>11.2}{:>10.0}",
            format!("{}x{}", image.width, image.height),
            format!("{}x{}", image.network_width, image.network_height),
            giga(image.backbone_flop),
            giga(image.pyramid_flop),
            giga(image.proposals_flop),
            giga(image.boxes_flop),
            giga(image.mask_flop),
            giga(image.total_flop)
        );
    }
}

fn print_peaks(report: &DetectorReport) {
    println!("\npeak in MiB, by `detect.budget_mib`");
    let columns: String = BUDGETS_MIB.iter().map(|mib| format!("{:>10}", budget_name(*mib))).collect();
    println!("{:<10}{:>9}  {:<12}{columns}  worst moment without a budget", "precision", "weights", "image");
    for precision in &report.precisions {
        for peaks in precision.peaks.chunks(BUDGETS_MIB.len()) {
            let Some(Peak { width, height, worst_moment, .. }) = peaks.first() else { continue };
            let row: String = peaks.iter().map(|peak| format!("{:>10}", mib(peak.model_bytes))).collect();
            let image = format!("{width}x{height}");
            let (name, weights) = (precision.precision.name(), mib(precision.weights_bytes));
            println!("{name:<10}{weights:>9}  {image:<12}{row}  {worst_moment}");
            if peaks.iter().any(|peak| peak.measured_bytes.is_some()) {
                let each = |peak: &Peak| format!("{:>10}", peak.measured_bytes.map_or("-".into(), mib));
                println!("{:<33}{}", "  measured", peaks.iter().map(each).collect::<String>());
            }
        }
    }
}

fn budget_name(mib: Option<u64>) -> String {
    mib.map_or("none".into(), |mib| mib.to_string())
}

fn print_fits(report: &DetectorReport) {
    println!("\nwhat fits into a memory, for all of these images");
    let names: String = report.precisions.iter().map(|one| format!("{:>22}", one.precision.name())).collect();
    println!("{:<12}{names}", "memory");
    let memories = report.precisions.first().map_or(0, |precision| precision.fits.len());
    for index in 0..memories {
        let of = |precision: &PrecisionReport| match &precision.fits[index] {
            Fit { fits: false, .. } => "no".to_string(),
            Fit { budget_mib: None, .. } => "yes".into(),
            Fit { budget_mib: Some(mib), .. } => format!("with budget_mib={mib}"),
        };
        let row: String = report.precisions.iter().map(|one| format!("{:>22}", of(one))).collect();
        let memory = report.precisions[0].fits[index].memory_bytes;
        println!("{:<12}{row}", format!("{} MiB", mib(memory)));
    }
}
