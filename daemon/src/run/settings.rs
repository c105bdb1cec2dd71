//! From the configuration to what each part takes: the only place that knows both.

use crate::config::{Config, DeniedPublish, Partition, Publish};
use crate::{access, door, http, sequencer, store, tls};

/// What the door takes. Bounds that no key sets keep the door's own defaults.
pub(super) fn door(config: &Config) -> door::Settings {
    let mqtt = &config.mqtt;
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    door::Settings {
        packet_bytes_max: bytes(mqtt.packet_bytes_max),
        payload_bytes_max: bytes(mqtt.payload_bytes_max),
        topic_bytes_max: bytes(mqtt.topic_bytes_max),
        connections_max: mqtt.connections_max as usize,
        connections_per_address_max: mqtt.connections_per_address_max,
        connections_per_user_max: mqtt.connections_per_user_max,
        connect_timeout: mqtt.connect_timeout,
        handshake_timeout: mqtt.handshake_timeout,
        write_timeout: mqtt.write_timeout,
        idle_timeout: mqtt.idle_timeout,
        keep_alive_max: mqtt.keep_alive_max,
        inflight_max: mqtt.inflight_max as usize,
        window_max: mqtt.window_max,
        publish_rate_max: mqtt.publish_rate_max,
        publish_burst: mqtt.publish_burst,
        queue_messages_max: mqtt.queue_messages_max as usize,
        queue_bytes_max: bytes(mqtt.queue_bytes_max),
        subscriptions_max: mqtt.subscriptions_max as usize,
        filters_max: mqtt.filters_max as usize,
        shared_groups_max: mqtt.shared_groups_max as usize,
        retained_max: mqtt.retained_max as usize,
        retained_per_client_max: mqtt.retained_per_client_max as usize,
        sessions_max: mqtt.sessions_max as usize,
        session_expiry_max: mqtt.session_expiry_max,
        topic_aliases_max: mqtt.topic_aliases_max,
        ticks_per_message_max: config.ticks.per_message_max as usize,
        segment_bytes: bytes(mqtt.router.segment_bytes),
        segments: mqtt.router.segment_count as usize,
        websocket_origins: mqtt.websocket_origins.clone(),
        disconnect_denied: mqtt.denied_publish == DeniedPublish::Disconnect,
        ..door::Settings::default()
    }
}

/// Who may come in.
pub(super) fn access(config: &Config) -> access::Settings {
    let access = &config.access;
    access::Settings {
        users_file: access.has_users().then(|| access.users_file.clone()),
        anonymous: access.anonymous,
        anonymous_roles: access.anonymous_roles.clone(),
        other_topics: config.mqtt.allow_other_topics,
        failures_max: access.failures_max,
        lockout: access.lockout,
    }
}

/// The daemon's certificate, if it has one.
pub(super) fn tls(config: &Config) -> Option<tls::Settings> {
    let tls = &config.tls;
    tls.is_configured().then(|| tls::Settings {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_ca: tls.client_ca().map(Into::into),
        client_required: tls.client_required,
    })
}

/// What the HTTP side takes.
pub(super) const fn http(config: &Config) -> http::Settings {
    let http = &config.http;
    http::Settings {
        connections_max: http.connections_max as usize,
        streams_max: http.streams_max as usize,
        request_timeout: http.request_timeout,
        write_timeout: http.write_timeout,
        stream_interval: http.stream_interval,
        history_connections: http.history_connections as usize,
        history_timeout: http.history_timeout,
    }
}

/// What the sequencer takes.
pub(super) fn sequencer(config: &Config) -> sequencer::Settings {
    sequencer::Settings {
        batch_inputs_max: config.sequencer.batch_inputs_max as usize,
        submissions_max: config.sequencer.queue_submissions_max as usize,
        future_max: config.ticks.future_max,
        publish: match config.sequencer.publish {
            Publish::Durable => sequencer::Publish::Durable,
            Publish::Immediate => sequencer::Publish::Immediate,
        },
        compact_levels: config.sequencer.compact_levels,
        snapshot_bytes: config.sequencer.snapshot_bytes,
        late_quiet: config.ticks.late_quiet,
        late_longest: config.ticks.late_longest,
        ..sequencer::Settings::default()
    }
}

/// What the store takes.
pub(super) const fn store(config: &Config) -> store::Settings {
    store::Settings {
        batch_rows_max: config.store.batch_rows_max as usize,
        flush_interval: config.store.flush_interval,
    }
}

/// How long the store's rows are kept.
pub(super) fn keep(config: &Config) -> store::Keep {
    let bound = |keep: std::time::Duration| Some(keep).filter(|keep| !keep.is_zero());
    store::Keep {
        ticks: bound(config.store.keep_ticks),
        levels: bound(config.store.keep_levels),
    }
}

/// How the store's tables are divided.
pub(super) const fn partition(config: &Config) -> store::PartitionUnit {
    match config.store.partition {
        Partition::Month => store::PartitionUnit::Month,
        Partition::Day => store::PartitionUnit::Day,
    }
}
