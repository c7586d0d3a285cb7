//! Where a run takes place: planned without opening anything; then opened, measured, held to its limit.
//!
//! On the CPU there is nothing to open, and every number of a card is `None`.
//!
//! Must not know what runs there.

use super::RunnerError;
use super::order::{Facts, Order};
use crate::device::budget::{Budget, budget};
use crate::device::kernels::{Kernels, require};
use crate::device::{self, Ballast, Card, Choice, DeviceError, Fault, Pool};
use crate::experiment::Settings;
use crate::hmr2::Attention;
use crate::memory::device::{Opened, open, parts};
use crate::memory::driver::CardWatch;
use crate::memory::live::Publisher;
use crate::video::{Extract, Mode, Store};
use candle_core::Device;

/// Where a run is to take place.
#[derive(Debug, Clone)]
pub struct Place {
    /// What `auto` became; as it was written where it cannot be had.
    pub device: String,
    /// The card; `None` on the CPU.
    pub card: Option<Card>,
    /// Why the device cannot be had.
    pub refused: Option<DeviceError>,
}

impl Place {
    /// Where a run of these settings takes place, the kernels that they ask for included.
    pub fn of(settings: &Settings) -> Place {
        let device = &settings.device;
        let has_kernels = |choice: &Choice| match settings.hmr2.attention {
            Attention::Flash => require(Kernels::FlashAttention, choice),
            Attention::Plain => Ok(()),
        };
        let resolved = device::resolve(device);
        match resolved.and_then(|(choice, card)| has_kernels(&choice).map(|()| (choice, card))) {
            Ok((choice, card)) => Place { device: choice.to_string(), card, refused: None },
            Err(error) => Place { device: device.to_string(), card: None, refused: Some(error) },
        }
    }
}

/// Why a run is left out where `auto` turned out to be the CPU: it is about a graphics card, and to count it
/// as failed would be to blame the run.
pub fn left_out(settings: &Settings, place: &Place) -> Option<&'static str> {
    let auto = matches!(device::parse(&settings.device), Ok(None));
    if !auto || place.card.is_some() || place.refused.is_some() {
        return None;
    }
    let mode = settings.video.mode();
    let on_card = matches!(mode, Ok(Mode::Extract(Extract { store: Store::Device, .. })));
    (on_card || settings.limits.device_mib.is_some()).then_some("need a graphics card")
}

/// The place of a run at work: its device, and what is known of its memory.
pub struct Site {
    name: String,
    limit_mib: Option<u64>,
    opened: Opened,
    ballast: Option<Ballast>,
    remarks: Vec<String>,
}

impl Site {
    /// Opens what the order asks for, measures what that costs, and takes away what is beyond the limit.
    ///
    /// # Errors
    /// If the device cannot be had, or holds more than the limit by being opened.
    pub fn open(order: &Order, publisher: &Publisher, facts: &mut Facts) -> Result<Site, RunnerError> {
        let (choice, card) = device::resolve(&order.device)?;
        let opened = open(&choice, card.as_ref())?;
        facts.device_context_bytes = opened.context_bytes;
        let limit_mib = order.settings.limits.device_mib;
        let remarks = opened.others.iter().cloned().collect();
        let mut site = Site { name: choice.to_string(), limit_mib, opened, ballast: None, remarks };
        if let Some(handle) = &site.opened.handle {
            handle.reset_marks();
            publisher.card(handle);
        }
        site.shrink()?;
        facts.device_ballast_bytes = site.ballast.as_ref().map(Ballast::bytes);
        // from here on the watcher can tell the run's memory from the ballast
        publisher.ballast_bytes(facts.device_ballast_bytes.unwrap_or(0));
        Ok(site)
    }

    /// Makes the card as small as the limit.
    fn shrink(&mut self) -> Result<(), RunnerError> {
        let (Some(limit_mib), Some(handle)) = (self.limit_mib, &self.opened.handle) else { return Ok(()) };
        let name = &self.name;
        let Some(room) = handle.room() else {
            let said =
                "the driver does not say what is free, so that limits.device_mib cannot be kept".into();
            return Err(DeviceError::Failed { device: name.clone(), said }.into());
        };
        let held_bytes = self.driver_bytes().or(self.opened.context_bytes);
        if held_bytes.is_none() {
            self.remarks.push(format!(
                "the driver does not say what the context holds of {name}: limits.device_mib counts without it"
            ));
        }
        match budget(limit_mib, held_bytes, room.free_bytes)? {
            Budget::Leave { bytes } => self.ballast = Some(handle.ballast(bytes)?),
            Budget::Already { free_bytes, allowed_bytes } => self.remarks.push(format!(
                "{} MiB of {name} were free, less than the {} that limits.device_mib allows beside the context",
                mib(free_bytes),
                mib(allowed_bytes)
            )),
        }
        Ok(())
    }

    /// Where tensors go.
    pub fn device(&self) -> &Device {
        &self.opened.device
    }

    /// What a person should know about the card of this run.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Says that the models are loaded: what loading them left behind is given back, and the pool's marks
    /// begin again from what they hold.
    pub fn models_are_loaded(&self, facts: &mut Facts) {
        let Some(handle) = &self.opened.handle else { return };
        handle.trim();
        let pool = handle.pool();
        facts.device_setup_peak_bytes = pool.map(|pool| pool.used_peak_bytes);
        facts.device_base_bytes = pool.map(|pool| pool.used_bytes);
        handle.reset_marks();
    }

    /// Takes down what the card says at the end of the run, well or not. What a lost card does not say
    /// stays unknown.
    pub fn account(&self, facts: &mut Facts) {
        let Some(handle) = &self.opened.handle else { return };
        handle.synchronize();
        let pool = handle.pool();
        let ballast_bytes = self.ballast.as_ref().map_or(0, Ballast::bytes);
        let reserved_bytes = pool.map(|pool| pool.reserved_bytes);
        let held = parts(self.driver_bytes(), ballast_bytes, reserved_bytes, self.opened.context_bytes);
        facts.device_peak_bytes = pool.map(|pool| pool.used_peak_bytes);
        facts.device_reserved_peak_bytes = pool.map(|pool| pool.reserved_peak_bytes);
        facts.device_process_peak_bytes = held.process_bytes;
        facts.device_workspace_bytes = held.workspace_bytes;
    }

    /// The driver's number for this process, ballast included.
    fn driver_bytes(&self) -> Option<u64> {
        self.opened.watch.as_ref().map(CardWatch::look)?.bytes_of(std::process::id())
    }

    /// An error of the run, told as what the card meant by it.
    pub fn explain(&self, error: RunnerError) -> RunnerError {
        let Some(handle) = &self.opened.handle else { return error };
        let whole_mib = handle.room().map(|room| mib(room.total_bytes));
        explain(error, &self.name, self.limit_mib, handle.pool(), whole_mib)
    }
}

fn explain(
    error: RunnerError,
    device: &str,
    limit_mib: Option<u64>,
    pool: Option<Pool>,
    whole_mib: Option<u64>,
) -> RunnerError {
    // memory that is wanting has been told as such
    if matches!(error, RunnerError::Device(_)) {
        return error;
    }
    let text = error.to_string();
    let said = text.lines().next().unwrap_or_default().to_string();
    let device = device.to_string();
    match Fault::of(&text) {
        Some(Fault::OutOfMemory) => {
            let held = pool.map_or_else(String::new, |pool| {
                let (used, reserved) = (mib(pool.used_peak_bytes), mib(pool.reserved_peak_bytes));
                format!(", where tensors held up to {used} MiB and the pool {reserved}")
            });
            let of = match (limit_mib, whole_mib) {
                (Some(limit), _) => format!(" of the {limit} MiB of limits.device_mib"),
                (None, Some(whole)) => format!(" of the card's {whole} MiB"),
                (None, None) => String::new(),
            };
            RunnerError::CardFull { device, held: format!("{held}{of}"), said }
        }
        Some(Fault::Lost) => RunnerError::CardLost { device, said },
        Some(Fault::NoDriver | Fault::NoLibrary | Fault::WrongKernels | Fault::Other) | None => error,
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(said: &str) -> RunnerError {
        RunnerError::Model(candle_core::Error::Msg(said.into()).into())
    }

    fn on(device: &str) -> Settings {
        let table = toml::Table::from_iter([("dataset".to_string(), "walkers".into())]);
        Settings { device: device.into(), ..Settings::from_table(table).unwrap() }
    }

    #[test]
    fn fused_attention_is_refused_where_it_cannot_be() {
        let mut settings = on("cpu");
        settings.hmr2.attention = Attention::Flash;
        let refused = Place::of(&settings).refused.unwrap().to_string();
        assert!(refused.contains("flash-attn"), "{refused}");
    }

    #[test]
    fn auto_and_the_cpu_are_places_and_unknown_devices_are_not() {
        let place = Place::of(&on("cpu"));
        assert_eq!((place.device.as_str(), place.card, place.refused), ("cpu", None, None));
        let refused = Place::of(&on("gpu")).refused.unwrap();
        assert_eq!(refused.to_string(), "unknown device `gpu`; there are `auto`, `cpu` and `cuda:0`");
    }

    #[test]
    fn what_is_about_a_card_is_left_out_where_auto_is_the_cpu() {
        let on_cpu = Place { device: "cpu".into(), card: None, refused: None };
        let mut settings = on("auto");
        assert_eq!(left_out(&settings, &on_cpu), None);
        settings.limits.device_mib = Some(1024);
        assert_eq!(left_out(&settings, &on_cpu), Some("need a graphics card"));
        settings.limits.device_mib = None;
        settings.video.mode = Some(Mode::extract(Store::Device));
        assert!(left_out(&settings, &on_cpu).is_some());
        // who asks for the CPU by name is told what is wrong with that
        settings.device = "cpu".into();
        assert_eq!(left_out(&settings, &on_cpu), None);
    }

    #[test]
    fn an_error_of_the_card_is_told_as_what_it_means() {
        let pool = Pool {
            used_bytes: 0,
            reserved_bytes: 0,
            used_peak_bytes: 1500 << 20,
            reserved_peak_bytes: 1600 << 20,
        };
        let full = || network("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n   0: backtrace");
        let told = explain(full(), "cuda:0", Some(2048), Some(pool), Some(81_559));
        assert!(told.is_out_of_memory());
        assert_eq!(
            told.to_string(),
            "out of memory on cuda:0, where tensors held up to 1500 MiB and the pool 1600 of the 2048 MiB of \
             limits.device_mib: lower hmr2.batch, or allow more (the network failed: \
             DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"))"
        );
        let told = explain(full(), "cuda:0", None, None, Some(81_559)).to_string();
        assert!(told.starts_with("out of memory on cuda:0 of the card's 81559 MiB: "), "{told}");
        let lost = explain(network("DriverError(CUDA_ERROR_UNKNOWN, \"?\")"), "cuda:1", None, None, None);
        assert!(!lost.is_out_of_memory());
        assert!(lost.to_string().contains("cuda:1 is lost to this process"), "{lost}");
        assert_eq!(lost.to_string().lines().count(), 1);
        let other = explain(network("shapes differ"), "cuda:0", None, Some(pool), None);
        assert_eq!(other.to_string(), "the network failed: shapes differ");
    }
}
