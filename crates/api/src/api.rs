use std::sync::Arc;
use std::time::Duration;

use parlance_cluster::{Cluster, Departure, Pace, Recovery};
use parlance_core::{Clock, DefaultPermissions, RoomId, UserId};
use parlance_hub::Hub;
use parlance_inbox::{InboxView, LogInbox};
use parlance_registry::{Rates, Registry};
use parlance_rooms::Rooms;
use parlance_runtime::memory::Budget;
use parlance_sessions::Sessions;
use parlance_store::{RoomIds, Store};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::{Accounts, EndSessions};
use crate::claimed::ProfileClaims;
use crate::event_streams::EventStreams;
use crate::gate::{Gate, RateLimit, SharedRate};
use crate::limits::{
    INVITATIONS_BURST, NEW_ROOMS_BURST, PeopleLimits, Sizes, TRIM_EVERY, TYPING_BURST, TYPING_RATE,
};
use crate::profiles::Profiles;
use crate::room_quota::RoomQuota;
use crate::rules::{ProfileRules, ShownTo};
use crate::screen::Screen;
use crate::turns::Turns;
use parlance_identity::Auth;

/// Dependencies and settings of an [`Api`].
pub struct Parts {
    /// Durable storage.
    pub store: Arc<dyn Store>,
    /// How room ids are generated for `store`.
    pub room_ids: RoomIds,
    /// Tracks which users are online, and on which nodes.
    pub registry: Arc<dyn Registry>,
    /// Verifies tokens.
    pub auth: Arc<Auth>,
    /// Source of the wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Limits on each user and each address.
    pub limits: PeopleLimits,
    /// Checks messages before they are sent. `None`: they are not checked.
    pub screen: Option<Arc<dyn Screen>>,
    /// Bytes that rooms may keep in memory beside the store, approximately: what loaded rooms remember, and recent
    /// events for sessions. Once they are used up, rooms are read from the store.
    pub room_memory: usize,
    /// Period over which a draining node spreads the reconnects of its sessions.
    pub reconnect_spread: Duration,
    /// How long a node keeps its sessions while it alone is cut off from the registry;
    /// [`crate::ISOLATION`] is a good value. Must be the same on all nodes: it is also how long the
    /// others check the store for what such a node wrote.
    pub isolation: Duration,
    /// Store reads per second spent on finding writes of other nodes whose hints were lost;
    /// [`crate::RECOVERY_READS`] is a good value.
    pub recovery_reads: u32,
    /// How long a user stays online after their last session has ended; [`crate::PRESENCE_GRACE`] except
    /// in tests.
    pub presence_grace: Duration,
    /// What users may do with profiles, and whom they are shown to.
    pub profiles: ProfileRules,
    /// Where the web app shows pictures from, for clients.
    pub image_origins: Vec<String>,
    /// What becomes of users whom strangers add to rooms.
    pub additions: Additions,
    /// What applies where a room has set no permissions of its own. Must be the same on all nodes.
    pub permissions: DefaultPermissions,
    /// Ends sessions on the other nodes, too. `None`: there are no others.
    pub end_sessions: Option<Arc<dyn EndSessions>>,
    /// Sizes of pages and caches; [`Sizes::PRODUCTION`] except in tests.
    pub sizes: &'static Sizes,
}

/// What becomes of users whom strangers add to rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Additions {
    /// They become members.
    #[default]
    Direct,
    /// They are invited.
    Invite,
}

/// Resources held for sessions and callers. Returns to its initial value once all sessions have ended,
/// except for rooms that stay loaded for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Rooms that sessions are subscribed to.
    pub rooms: usize,
    /// Users with sessions.
    pub users: usize,
    /// Rooms with a running actor.
    pub actors: usize,
    /// Sends waiting for another node's answer.
    pub forwarded: usize,
    /// Marks being moved.
    pub marks: usize,
    /// Sessions being opened.
    pub opening: usize,
    /// Tasks that shutdown waits for.
    pub tasks: usize,
}

/// A node: storage, rooms, sessions and operations. See the [crate] documentation.
pub struct Api {
    pub(crate) parts: Parts,
    pub(crate) hub: Arc<Hub>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) rooms: Rooms,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) profiles: Arc<Profiles>,
    pub(crate) gate: Gate,
    pub(crate) room_quota: RoomQuota,
    pub(crate) invitation_rate: Arc<RateLimit<UserId>>,
    /// Of each user in each room.
    pub(crate) typing: RateLimit<(UserId, RoomId)>,
    pub(crate) inbox: Arc<dyn InboxView>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) turns: Arc<Turns>,
    /// Of those for whom it is counted what waits for them.
    pub(crate) counting: Arc<Turns<UserId>>,
    /// Users whose costly reads run one at a time: see [`Api::costly_turn`].
    pub(crate) costly: Arc<Turns<UserId>>,
    pub(crate) event_streams: Arc<EventStreams>,
    pub(crate) departure: Departure,
    /// Stops the background tasks that sessions depend on; cancelled after the last session has ended.
    pub(crate) end: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Api {
    /// Starts a node. It drains its sessions when `shutdown` is cancelled.
    pub fn start(parts: Parts, shutdown: CancellationToken) -> Arc<Self> {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let (store, registry) = (parts.store.clone(), parts.registry.clone());
        let sizes = parts.sizes;
        let hub = Hub::new(store.clone(), registry.clone(), tasks.clone(), &sizes.hub);
        let hub = Arc::new(hub.charging(Budget::new(parts.room_memory)));
        let reconnect_spread = parts.reconnect_spread;
        let departure = Departure::new(shutdown, reconnect_spread);
        let (reads_per_second, isolation) = (parts.recovery_reads, parts.isolation);
        let presence_grace = parts.presence_grace;
        let pace = Pace { reads_per_second, isolation, reconnect_spread, presence_grace };
        let rules = parts.profiles;
        let cluster = Cluster::new(registry.clone(), store.clone(), hub.clone(), pace, &sizes.cluster);
        let cluster = Arc::new(cluster.hiding_presence(rules.presence == ShownTo::SharedRooms));
        let clock = parts.clock.clone();
        let profiles =
            Profiles::new(store.clone(), cluster.clone(), tasks.clone(), end.clone(), rules, sizes);
        let profiles = Arc::new(profiles);
        let sessions = Sessions::new(parlance_sessions::Parts {
            store: store.clone(),
            hub: hub.clone(),
            cluster: cluster.clone(),
            registry: registry.clone(),
            clock: clock.clone(),
            departure: departure.clone(),
            tasks: tasks.clone(),
            end: end.clone(),
            reconnect_spread,
            presence_grace,
            sessions_of_user: parts.limits.sessions,
            subscriptions_of_user: parts.limits.subscriptions,
            sizes: &sizes.sessions,
        });
        let inbox = Arc::new(LogInbox::new(store.clone(), sizes.inbox_concurrency, sizes.inbox));
        let rooms = Rooms::new(parlance_rooms::Parts {
            store,
            hub: hub.clone(),
            cluster: cluster.clone(),
            registry: registry.clone(),
            clock,
            departure: departure.clone(),
            tasks: tasks.clone(),
            permissions: parts.permissions,
            sizes: &sizes.rooms,
        });
        let inbound = cluster.clone().receive(rooms.clone(), registry.notices(), tasks.clone(), end.clone());
        tasks.spawn(inbound);
        tasks.spawn(cluster.clone().recover(end.clone()));
        if registry.is_shared() {
            tasks.spawn(cluster.clone().watch_isolation(departure.clone(), end.clone()));
        }
        let announcing = profiles.clone();
        let claims = ProfileClaims {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            tasks: tasks.clone(),
            changed: Arc::new(move |user| announcing.changed(user)),
        };
        let accounts = Accounts::new(parts.store.clone(), sizes.known_users).following(claims);
        let accounts = Arc::new(accounts);
        let forgetting = accounts.clone();
        parts.auth.revocations().on_ended(move |user| forgetting.forget(user));
        let rates: Option<Arc<dyn Rates>> =
            parts.registry.is_shared().then(|| parts.registry.clone() as Arc<dyn Rates>);
        let rates = rates.as_ref();
        let gate = Gate::new(parts.auth.clone(), accounts.clone(), &parts.limits, rates, parts.clock.clone());
        let PeopleLimits { new_rooms, rooms: most_rooms, invitations, .. } = parts.limits;
        let invitation_rate = Arc::new(RateLimit::new("invitations", invitations, INVITATIONS_BURST));
        let room_quota = RoomQuota::new(
            SharedRate::new("new_rooms", new_rooms, NEW_ROOMS_BURST, rates),
            most_rooms,
            sizes.known_users,
            sizes.rooms_page,
            sizes.inbox_concurrency,
        );
        let api = Self {
            parts,
            hub,
            cluster,
            rooms,
            sessions,
            profiles,
            gate,
            room_quota,
            invitation_rate,
            typing: RateLimit::new("typing", Some(TYPING_RATE), TYPING_BURST),
            inbox,
            accounts,
            turns: Arc::default(),
            counting: Arc::default(),
            costly: Arc::default(),
            event_streams: Arc::default(),
            departure,
            end,
            tasks,
        };
        let api = Arc::new(api);
        api.tasks.spawn(trim(api.clone()));
        api
    }

    /// Stops the remaining tasks. Call it once no more calls arrive. Returns whether all tasks ended by
    /// `deadline`.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.departure.shutdown().cancel();
        self.end.cancel();
        self.rooms.close();
        self.tasks.close();
        let ended = timeout(deadline, self.tasks.wait()).await.is_ok();
        // Sent even if other tasks still hang.
        self.cluster.announce_remaining().await;
        ended
    }

    /// The id of this node, new on every start.
    pub fn node_id(&self) -> &str {
        self.parts.registry.node().as_str()
    }

    /// Resources held for sessions and callers right now.
    pub fn usage(&self) -> Usage {
        let (rooms, users) = self.hub.usage();
        let (actors, forwarded) = self.rooms.usage();
        Usage {
            rooms,
            users,
            actors,
            forwarded,
            marks: self.sessions.marks().under_way(),
            opening: self.sessions.being_opened(),
            tasks: self.tasks.len(),
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }

    pub(crate) fn room_ids(&self) -> &RoomIds {
        &self.parts.room_ids
    }

    pub(crate) fn registry(&self) -> &dyn Registry {
        self.parts.registry.as_ref()
    }

    pub(crate) fn auth(&self) -> &Auth {
        self.gate.auth()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.parts.clock.as_ref()
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Progress of finding writes whose hints were lost.
    pub fn recovery(&self) -> Recovery {
        self.cluster.recovery()
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub(crate) fn sizes(&self) -> &'static Sizes {
        self.parts.sizes
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    pub(crate) fn profiles(&self) -> &Arc<Profiles> {
        &self.profiles
    }

    /// Drains sessions to other nodes.
    pub fn departure(&self) -> &Departure {
        &self.departure
    }

    /// Whether this node cannot reach the registry while other nodes can, and every change of that.
    pub fn is_alone(&self) -> watch::Receiver<bool> {
        self.cluster.alone()
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub(crate) fn is_known(&self, user: &UserId) -> bool {
        self.accounts.is_known(user)
    }

    #[cfg(test)]
    pub(crate) fn remember(&self, user: &UserId) {
        self.accounts.remember(user, self.accounts.changes());
    }
}

async fn trim(api: Arc<Api>) {
    let mut tick = tokio::time::interval(TRIM_EVERY);
    loop {
        tokio::select! {
            biased;
            () = api.end.cancelled() => return,
            _ = tick.tick() => {
                api.hub.trim();
                api.cluster.trim();
                metrics::gauge!("parlance_room_memory_bytes").set(api.hub.memory().used() as f64);
                metrics::gauge!("parlance_subscriptions").set(api.hub.subscriptions() as f64);
                metrics::gauge!("parlance_tasks").set(api.tasks.len() as f64);
                api.gate.trim();
                api.room_quota.trim();
                api.invitation_rate.trim();
                api.typing.trim();
            }
        }
    }
}
