//! What is counted.

use std::time::Duration;

#[derive(Default)]
pub struct Tally {
    pub requests: u64,
    pub bad: u64,
    pub first_fault: Option<String>,
    /// Connections that went on with an earlier session.
    pub resumed: u64,
    pub seconds: f64,
    /// In microseconds, one for each request.
    pub latencies: Vec<u32>,
}

impl Tally {
    pub fn answered(&mut self, took: Duration) {
        self.requests += 1;
        self.latencies.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn fault(&mut self, text: String) {
        self.bad += 1;
        self.first_fault.get_or_insert(text);
    }

    pub fn into_json(mut self) -> String {
        self.latencies.sort_unstable();
        let quantile = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            self.latencies.get(index).or(self.latencies.last()).copied().unwrap_or(0)
        };
        let fault = self.first_fault.as_ref().map_or("null".into(), |text| format!("{text:?}"));
        format!(
            "{{\"requests\":{},\"bad\":{},\"fault\":{fault},\"resumed\":{},\"seconds\":{:.3},\
             \"rps\":{:.0},\"latency_us\":{{\"p50\":{},\"p99\":{}}}}}",
            self.requests,
            self.bad,
            self.resumed,
            self.seconds,
            self.requests as f64 / self.seconds.max(1e-9),
            quantile(0.5),
            quantile(0.99),
        )
    }
}
