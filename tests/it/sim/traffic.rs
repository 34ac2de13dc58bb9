//! What clients send: new events, repeats, ids used again, events that are dropped, suppressed or
//! rejected.

use super::dice::Dice;
use super::gateway::{DROPPED, FORGOTTEN, KEYS};
use super::record::Sent;

/// Everything that was ever sent to one machine.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    machine: &'static str,
    sent: Vec<(u64, Template)>,
}

/// What repeats have in common.
#[derive(Clone, Debug)]
struct Template {
    key: &'static str,
    name: &'static str,
    user: &'static str,
    kind: &'static str,
    message_id: Option<String>,
    time: u64,
}

impl Traffic {
    pub(super) const fn new(machine: &'static str) -> Self {
        Self { machine, sent: Vec::new() }
    }

    /// A batch of events for one source; each gets its number in `all`.
    pub(super) fn batch(
        &mut self,
        dice: &mut Dice,
        all: &mut Vec<Sent>,
    ) -> (&'static str, String, Vec<u64>) {
        let key = dice.pick(&KEYS);
        let (mut elements, mut serials) = (Vec::new(), Vec::new());
        for _ in 0..=dice.roll(4) {
            let template = self.template(key, dice);
            let serial = all.len() as u64;
            let sent = render(&template, serial, dice);
            elements.push(sent.json.clone());
            all.push(sent);
            serials.push(serial);
            self.sent.push((serial, template));
        }
        (key, format!("{{\"batch\":[{}]}}", elements.join(",")), serials)
    }

    fn template(&self, key: &'static str, dice: &mut Dice) -> Template {
        let before = self.sent.get(usize::try_from(dice.roll(self.sent.len() as u64)).unwrap());
        if let Some((_, before)) = before.filter(|(_, before)| before.key == key)
            && dice.chance(35)
        {
            let mut again = before.clone();
            if dice.chance(20) {
                again.time += 1;
            }
            return again;
        }
        let name = dice.pick(&["ev_a", "ev_a", "ev_b", "ev_c", DROPPED]);
        let user = if dice.chance(5) { FORGOTTEN } else { "u-1" };
        let odd = dice.chance(5) && name != DROPPED && user != FORGOTTEN;
        let kind = if odd { "sing" } else { "track" };
        let id = format!("{}-{}", self.machine, self.sent.len());
        let message_id = dice.chance(95).then_some(id);
        Template { key, name, user, kind, message_id, time: dice.roll(1_400) }
    }
}

fn render(template: &Template, serial: u64, dice: &mut Dice) -> Sent {
    let Template { key, name, user, kind, message_id, time } = template;
    let column = dice.roll(5);
    let value = if dice.chance(80) { "7".to_owned() } else { "\"seven\"".to_owned() };
    let id = message_id.as_ref().map(|id| format!("\"messageId\":\"{id}\",")).unwrap_or_default();
    let (hour, minute) = (time / 60, time % 60);
    let json = format!(
        "{{\"type\":\"{kind}\",\"event\":\"{name}\",\"userId\":\"{user}\",{id}\
         \"originalTimestamp\":\"2026-11-20T{hour:02}:{minute:02}:00Z\",\
         \"properties\":{{\"c{column}\":{value},\"n\":{serial}}}}}"
    );
    let is_taken_out = *user == FORGOTTEN || (*key == "web" && *name == DROPPED);
    Sent { source: format!("{key}_prod"), is_taken_out, json }
}
