//! What one connection is to do with the bytes at hand: pure decisions, no sockets.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    Direction, Event, Fault,
    action::{Action, Ending},
    armed::{Armed, PerDirection, Position},
    http2::Frames,
    shared::{Control, Shared},
};

/// What to do next with bytes of one direction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Hand at most so many bytes on, and not faster than so many a second.
    Write { most: usize, rate: Option<u64> },
    /// Throw so many bytes away.
    Discard(usize),
    /// Wait so long, say [`Script::waited`], ask again.
    Wait(Duration),
    /// Wait until something is set live.
    Hold,
    /// End the connection.
    End(Ending),
}

/// The faults and the position of one connection.
#[derive(Debug)]
pub(super) struct Script {
    shared: Arc<Shared>,
    connection: u64,
    /// The number by which the plan knows the connection.
    planned_as: u64,
    version: u64,
    plan_version: u64,
    planned: Vec<Armed>,
    /// Drawn at random by the plan for the request that runs.
    drawn: Vec<Armed>,
    /// Of the request that runs, from [`Shared::take_next_request`]: it holds beside a live fault.
    asked: Option<Armed>,
    live: Option<Armed>,
    at: Position,
    /// Requests that began under the present plan.
    requests_in_plan: u64,
    /// Who sent last.
    turn: Option<Direction>,
    /// In the present turn, the delay is over.
    waited: PerDirection<bool>,
    /// Bytes of this direction were thrown away.
    holed: PerDirection<bool>,
    http2: Option<Http2>,
}

/// The streams of a connection whose requests are told apart by their frames.
#[derive(Debug)]
struct Http2 {
    to_server: Frames,
    to_client: Frames,
    last_stream: u32,
    /// Streams whose reply has begun to arrive and has not ended: further HEADERS on them are trailers.
    replied: BTreeSet<u32>,
    doomed: Vec<Doomed>,
}

/// A stream whose reply is to be lost, remembered as other requests may begin before the reply comes.
#[derive(Debug, Clone, Copy)]
struct Doomed {
    stream: u32,
    request: Option<u64>,
    ending: Ending,
    /// By [`Script::asked`], which a live fault does not replace.
    is_asked: bool,
}

impl Script {
    pub(super) fn new(shared: Arc<Shared>, connection: u64) -> Self {
        let control = shared.control.borrow().clone();
        let at = Position::default();
        let planned_as = connection.saturating_sub(control.accepted_before);
        let arm = |fault: &Fault| Armed::new(fault.clone(), &at);
        Self {
            connection,
            planned_as,
            version: control.version,
            plan_version: control.plan_version,
            planned: control.plan.faults_of(planned_as).iter().map(arm).collect(),
            drawn: Vec::new(),
            asked: None,
            live: control.live.as_deref().map(arm),
            at,
            requests_in_plan: 0,
            turn: None,
            waited: PerDirection::default(),
            holed: PerDirection::default(),
            http2: shared.http2.then(|| Http2 {
                to_server: Frames::of_client(),
                to_client: Frames::of_server(),
                last_stream: 0,
                replied: BTreeSet::new(),
                doomed: Vec::new(),
            }),
            shared,
        }
    }

    /// Whether the connection is to end before it began: with a refusal, or with a cut.
    pub(super) fn at_connect(&mut self) -> Option<(Ending, bool)> {
        self.follow_control();
        let refusal = |fault: &Fault| match fault.action {
            Action::Refuse | Action::Down => Some((Ending::Reset, true)),
            Action::Cut => Some((fault.ending, false)),
            _ => None,
        };
        self.first_in_force(refusal)
    }

    /// What to do before reading more of this direction: end, hold, or nothing.
    pub(super) fn before_reading(&mut self, direction: Direction) -> Option<Step> {
        self.follow_control();
        if let Some(ending) = self.ended() {
            return Some(Step::End(ending));
        }
        if self.is_stalled(direction) {
            return Some(Step::Hold);
        }
        None
    }

    /// What to do with `bytes`, the next ones of this direction. Asked again after each step.
    pub(super) fn next(&mut self, direction: Direction, bytes: &[u8]) -> Step {
        self.follow_control();
        let mut most = bytes.len();
        if direction == Direction::ToServer {
            most = most.min(self.before_next_request(bytes));
        }
        if let Some(ending) = self.ended() {
            return Step::End(ending);
        }
        if self.holed.of(direction) || self.is_swallowed(direction) {
            return Step::Discard(most);
        }
        if self.is_stalled(direction) {
            return Step::Hold;
        }
        if direction == Direction::ToClient {
            match self.before_lost_reply(bytes) {
                Ok(before) => most = most.min(before),
                Err(ending) => return Step::End(ending),
            }
        }
        let delay = self.delay(direction);
        if !delay.is_zero() && !self.waited.of(direction) {
            return Step::Wait(delay);
        }
        Step::Write { most: most.min(self.before_trigger(direction)), rate: self.rate(direction) }
    }

    /// The wait of [`Step::Wait`] is over.
    pub(super) fn waited(&mut self, direction: Direction) {
        *self.waited.of_mut(direction) = true;
    }

    /// These bytes were handed on, or thrown away.
    pub(super) fn passed(&mut self, direction: Direction, bytes: &[u8], swallowed: bool) {
        let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        *self.at.passed.of_mut(direction) += count;
        *self.waited.of_mut(direction.other()) = false;
        *self.holed.of_mut(direction) |= swallowed;
        self.turn = Some(direction);
        if let Some(http2) = &mut self.http2 {
            match direction {
                Direction::ToServer => http2.to_server.advance(bytes, |_| ()),
                Direction::ToClient => {
                    let replied = &mut http2.replied;
                    http2.to_client.advance(bytes, |frame| {
                        if frame.ends_stream() {
                            replied.remove(&frame.stream);
                        } else if frame.is_headers() {
                            replied.insert(frame.stream);
                        }
                    });
                }
            }
        }
        self.shared.count(|stats| match swallowed {
            true => stats.bytes_swallowed += count,
            false => stats.carried(direction, count),
        });
    }

    pub(super) fn is_holed(&self, direction: Direction) -> bool {
        self.holed.of(direction)
    }

    fn follow_control(&mut self) {
        let control = self.shared.control.borrow();
        if control.version == self.version {
            return;
        }
        let control: Control = control.clone();
        if control.plan_version != self.plan_version {
            // Its number under the new plan must not be that of a connection still to come.
            self.planned_as = u64::MAX - self.connection;
            self.planned.clear();
            self.drawn.clear();
            self.asked = None;
            self.requests_in_plan = 0;
        }
        let plan_is_new = control.plan_version != self.plan_version;
        if let Some(http2) = &mut self.http2 {
            // What the former live fault doomed ends with it; what the plan did ends where a live fault stands in for it.
            http2.doomed.retain(|doomed| doomed.is_asked && !plan_is_new);
        }
        self.version = control.version;
        self.plan_version = control.plan_version;
        self.live = control.live.as_deref().map(|fault| Armed::new(fault.clone(), &self.at));
    }

    /// Begins a request when one begins with the first of these bytes; how many bytes belong before the next one.
    fn before_next_request(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let Some(http2) = &mut self.http2 else {
            let begun = self.at.requests > 0
                && (self.turn == Some(Direction::ToServer)
                    || self.at.request_base.to_server == self.at.passed.to_server);
            if !begun {
                self.begin_request();
            }
            return bytes.len();
        };
        let last = http2.last_stream;
        match http2.to_server.find(bytes, |stream| stream > last) {
            Some((0, stream)) => {
                http2.last_stream = stream;
                self.begin_request();
                self.doom(stream);
                self.before_next_request(bytes)
            }
            Some((before, _)) => before,
            None => bytes.len(),
        }
    }

    fn begin_request(&mut self) {
        self.at.requests += 1;
        self.at.request_base = self.at.passed;
        self.drawn.clear();
        self.asked = self.shared.take_next_request().map(|fault| Armed::new(fault, &self.at));
        if self.live.is_none() && self.asked.is_none() {
            let drawn = self.shared.control.borrow().plan.draw(self.planned_as, self.requests_in_plan);
            self.drawn.extend(drawn.map(|fault| Armed::new(fault, &self.at)));
        }
        self.requests_in_plan += 1;
        self.shared.count(|stats| stats.requests += 1);
    }

    fn doom(&mut self, stream: u32) {
        let at = self.at;
        let lost = self.faults().find(|armed| is_loss(&armed.fault) && armed.is_at_its_request(&at));
        let ending = lost.map(|armed| armed.fault.ending);
        let is_asked = self.asked.as_ref().is_some_and(|armed| is_loss(&armed.fault));
        if let (Some(ending), Some(http2)) = (ending, self.http2.as_mut()) {
            http2.doomed.push(Doomed { stream, request: at.requests.checked_sub(1), ending, is_asked });
        }
    }

    /// How many of these bytes come before a reply that is to be lost; how to end when it is here.
    fn before_lost_reply(&mut self, bytes: &[u8]) -> Result<usize, Ending> {
        let cut = match &self.http2 {
            None if self.turn == Some(Direction::ToServer) => self.lost_reply(),
            None => None,
            Some(http2) => {
                let live = self
                    .live
                    .as_ref()
                    .is_some_and(|armed| is_loss(&armed.fault) && armed.is_in_force(&self.at));
                let doomed = |stream| http2.doomed.iter().find(|doomed| doomed.stream == stream).copied();
                let begins = |stream| !http2.replied.contains(&stream);
                let wanted = |stream| begins(stream) && (live || doomed(stream).is_some());
                match http2.to_client.find(bytes, wanted) {
                    None => None,
                    Some((before @ 1.., _)) => return Ok(before),
                    Some((_, stream)) => match doomed(stream) {
                        None => self.lost_reply(),
                        Some(doomed) => {
                            self.tell(doomed.request, "lose_reply");
                            Some(doomed.ending)
                        }
                    },
                }
            }
        };
        let Some(ending) = cut else { return Ok(bytes.len()) };
        self.shared.count(|stats| stats.lost_replies += 1);
        Err(ending)
    }

    fn lost_reply(&mut self) -> Option<Ending> {
        self.first_in_force(|fault| is_loss(fault).then_some(fault.ending))
    }

    fn ended(&mut self) -> Option<Ending> {
        self.first_in_force(|fault| match fault.action {
            Action::Cut => Some(fault.ending),
            Action::Down => Some(Ending::Reset),
            _ => None,
        })
    }

    fn is_stalled(&mut self, direction: Direction) -> bool {
        self.first_in_force(|f| (f.action == Action::Stall && f.concerns(direction)).then_some(())).is_some()
    }

    fn is_swallowed(&mut self, direction: Direction) -> bool {
        self.first_in_force(|f| (f.action == Action::BlackHole && f.concerns(direction)).then_some(()))
            .is_some()
    }

    fn delay(&mut self, direction: Direction) -> Duration {
        let delays = self.in_force(|fault| match fault.action {
            Action::Delay(time) if fault.concerns(direction) => Some(time),
            _ => None,
        });
        delays.into_iter().sum()
    }

    fn rate(&mut self, direction: Direction) -> Option<u64> {
        let rates = self.in_force(|fault| match fault.action {
            Action::Bandwidth(rate) if fault.concerns(direction) => Some(rate),
            _ => None,
        });
        rates.into_iter().min()
    }

    /// Bytes of this direction that may pass before a fault comes into force.
    fn before_trigger(&mut self, direction: Direction) -> usize {
        let at = self.at;
        let graces =
            self.faults().filter(|armed| armed.is_at_its_request(&at)).filter_map(|armed| armed.grace(&at));
        let nearest = graces.filter(|(own, _)| *own == direction).map(|(_, left)| left).min();
        nearest.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// A live fault stands in for the plan.
    fn faults(&mut self) -> impl Iterator<Item = &mut Armed> {
        let (planned, drawn) = match self.live {
            Some(_) => (Default::default(), Default::default()),
            None => (self.planned.as_mut_slice(), self.drawn.as_mut_slice()),
        };
        self.live.iter_mut().chain(planned).chain(drawn).chain(self.asked.iter_mut())
    }

    fn first_in_force<T>(&mut self, chosen: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.in_force(chosen).into_iter().next()
    }

    /// What `chosen` says of the faults in force. Those it chooses take effect and are told of.
    fn in_force<T>(&mut self, chosen: impl Fn(&Fault) -> Option<T>) -> Vec<T> {
        let at = self.at;
        let mut found = Vec::new();
        let mut news = Vec::new();
        for armed in self.faults().filter(|armed| armed.is_in_force(&at)) {
            let Some(value) = chosen(&armed.fault) else { continue };
            found.push(value);
            if !std::mem::replace(&mut armed.told, true) {
                news.push(armed.fault.name());
            }
        }
        for fault in news {
            self.tell(at.requests.checked_sub(1), fault);
        }
        found
    }

    fn tell(&self, request: Option<u64>, fault: &'static str) {
        self.shared.tell(Event { connection: self.connection, request, fault });
    }
}

fn is_loss(fault: &Fault) -> bool {
    fault.action == Action::LoseReply
}
