//! What stands behind `/api/v1`.

use std::sync::Arc;

use super::{Run, Service, ServiceError, Started, settings, thread};
use crate::edge::http::api::{Api, Forward, Intake, Limits};
use crate::edge::ingest::Ingest;
use crate::edge::log::Log;
use crate::edge::owners::Owners;
use crate::edge::recent::Recent;
use crate::edge::shard::Environment;
use crate::edge::tap::Taps;

impl Service {
    /// From here on `/api/v1` answers.
    pub(super) fn serve_api<L: Log>(
        &mut self,
        run: &Run<'_>,
        environment: &Environment<L>,
    ) -> Result<(), ServiceError> {
        let Run { config, observed, .. } = *run;
        let (wire, partitions) = (&environment.wire, config.topics.partitions);
        let recent = Arc::new(Recent::new(Arc::clone(wire)));
        let (stop, log, heard) = (self.servants_stop.clone(), environment.log.clone(), Arc::clone(&recent));
        self.servants.push(thread("recent", move || {
            if let Err(error) = heard.follow(&log, &stop) {
                tracing::warn!(%error, "alerts and signals will not be shown over HTTP");
            }
        })?);
        let owners = Arc::new(Owners::new(
            config.service.instance.clone(),
            advertised(run),
            config.has_embedded_log(),
        ));
        let (stop, log, kept) = (self.servants_stop.clone(), environment.log.clone(), Arc::clone(&owners));
        let (health, inbox) = (Arc::clone(&observed.health), Arc::clone(&observed.inbox));
        self.servants.push(thread("owners", move || {
            if let Err(error) = kept.follow(&log, &health, &inbox, &stop) {
                tracing::warn!(%error, "questions about customers of other instances will not be passed on");
            }
        })?);
        // Its thread ends with the server, which holds the other end.
        let (ingest, _thread) = Ingest::start(&environment.log)?;
        let limits = Limits {
            record_bytes_max: usize::try_from(config.engine.record_bytes_max).unwrap_or(usize::MAX),
            time_min_ms: config.engine.event_time_min_ms,
            lateness_ms: settings::millis(config.engine.lateness),
        };
        let shared = observed.shared.get_or_init(|| Arc::clone(&environment.shared));
        let api = Api {
            instance: config.service.instance.clone(),
            log: if config.has_embedded_log() { "embedded" } else { "kafka" },
            ingest,
            events: Intake::new(Arc::clone(wire), partitions, limits, Arc::clone(&run.clock)),
            cursor: Arc::new({
                let log = environment.log.clone();
                move |name: &str| log.cursor(name)
            }),
            tap: Box::new({
                let (log, stop) = (environment.log.clone(), self.servants_stop.clone());
                let taps = Taps::new(log, Arc::clone(wire), stop);
                move |wanted| taps.open(wanted)
            }),
            recent: Arc::clone(&recent),
            inbox: Arc::clone(&observed.inbox),
            owners,
            forward: Forward::default(),
            metrics: Arc::clone(&observed.metrics),
            shared: Arc::clone(shared),
            health: Arc::clone(&observed.health),
            snapshots: Arc::clone(&observed.snapshots),
            partitions,
        };
        // It is empty: one start is one service.
        let _ = run.api.set(api);
        if let Some(started) = run.started.take() {
            let (stop, metrics) = (run.stop.clone(), Arc::clone(&observed.metrics));
            started(Started { stop, address: run.address, metrics, recent });
        }
        Ok(())
    }
}

/// Where other instances reach this one; None where it is served on every address and nobody said which.
fn advertised(run: &Run<'_>) -> Option<String> {
    let given = run.config.service.advertised_http.clone();
    if given.is_none() && run.address.ip().is_unspecified() && !run.config.has_embedded_log() {
        tracing::warn!(
            "without service.advertised_http other instances cannot ask this one for its customers"
        );
    }
    given.or_else(|| (!run.address.ip().is_unspecified()).then(|| format!("http://{}", run.address)))
}
