//! What stands on the screen, as lines.

use super::rows::{BROKERS, GROUPS, Rows, Sort, TOPICS};
use crate::output::{Cell, Column};

/// Lines of brokers that are shown at most, so that topics and groups have room.
const BROKERS_SHOWN: usize = 8;

/// What keys have changed.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub sort: Sort,
    /// Whether arrows move groups, not topics.
    pub on_groups: bool,
    /// Rows that have moved out at the top, of topics and of groups.
    pub scrolled: [usize; 2],
    /// Only topics and groups with this in their name.
    pub filter: String,
    /// Whether keys are letters of the filter.
    pub typing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub is_head: bool,
}

impl View {
    /// The lines of a screen of this size, at most so many and so long.
    pub fn lines(
        &mut self,
        rows: Option<&Rows>,
        title: &str,
        (width, height): (usize, usize),
    ) -> Vec<Line> {
        let mut lines = Vec::new();
        match rows {
            None => lines.push(plain(format!("{title}  asking ..."))),
            Some(rows) => self.body(&mut lines, rows, title, height.saturating_sub(1)),
        }
        lines.truncate(height.saturating_sub(1));
        while lines.len() + 1 < height {
            lines.push(plain(String::new()));
        }
        lines.push(Line { text: self.help(), is_head: true });
        for line in &mut lines {
            line.text = line.text.chars().take(width).map(visible).collect();
        }
        lines
    }

    fn help(&self) -> String {
        if self.typing {
            return format!("only names with: {}_  (Enter: keep, Esc: all)", self.filter);
        }
        let only =
            if self.filter.is_empty() { String::new() } else { format!(" {:?}", self.filter) };
        let sort = match self.sort {
            Sort::Rate => "rate",
            Sort::Lag => "lag",
            Sort::Name => "name",
        };
        format!(
            "q end  r/l/n sort by rate, lag, name ({sort})  Tab topics/groups  arrows move  \
             / only{only}"
        )
    }

    fn body(&mut self, lines: &mut Vec<Line>, rows: &Rows, title: &str, height: usize) {
        let (topics, groups) = (self.chosen(&rows.topics), self.chosen(&rows.groups));
        lines.push(plain(format!(
            "{title}  in {:.0}/s  out {:.0}/s  lag {}  topics {}  groups {}",
            rows.total_in,
            rows.total_out,
            rows.total_lag,
            rows.topics.len(),
            rows.groups.len()
        )));
        lines.extend(rows.problems.iter().map(|problem| plain(format!("! {problem}"))));
        lines.extend(table("", BROKERS, &rows.brokers, 0, BROKERS_SHOWN));
        let room = height.saturating_sub(lines.len());
        // a line for each head, and what one does not need the other gets
        let halves = room.saturating_sub(2) / 2;
        let of_groups = groups.len().min(halves.max(room.saturating_sub(2 + topics.len())));
        let of_topics = room.saturating_sub(2 + of_groups);
        for (place, (count, shown)) in
            [(topics.len(), of_topics), (groups.len(), of_groups)].into_iter().enumerate()
        {
            self.scrolled[place] = self.scrolled[place].min(count.saturating_sub(shown));
        }
        let mark = |is_there: bool| if is_there { "> " } else { "  " };
        lines.extend(table(mark(!self.on_groups), TOPICS, &topics, self.scrolled[0], of_topics));
        lines.extend(table(mark(self.on_groups), GROUPS, &groups, self.scrolled[1], of_groups));
    }

    fn chosen<const N: usize>(&self, rows: &[[Cell; N]]) -> Vec<[Cell; N]> {
        rows.iter().filter(|row| row[0].text.contains(&self.filter)).cloned().collect()
    }

    /// Moves the rows of the table that arrows move.
    pub fn scroll(&mut self, by: isize) {
        let place = &mut self.scrolled[usize::from(self.on_groups)];
        *place = place.saturating_add_signed(by);
    }
}

fn plain(text: String) -> Line {
    Line { text, is_head: false }
}

/// Names come from servers: none of them moves the cursor.
fn visible(letter: char) -> char {
    if letter.is_control() { '?' } else { letter }
}

fn table<const N: usize>(
    mark: &str,
    columns: &[Column],
    rows: &[[Cell; N]],
    from: usize,
    count: usize,
) -> Vec<Line> {
    let shown = rows.iter().skip(from).take(count);
    let width = |place: usize| {
        let cells = shown.clone().filter_map(|row| row.get(place));
        let head = columns.get(place).map_or(0, |column| column.head.len());
        cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0).max(head)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |texts: &mut dyn Iterator<Item = &str>, mark: &str| {
        let mut line = mark.to_owned();
        for ((text, width), column) in texts.zip(&widths).zip(columns) {
            match column.right {
                true => line += &format!("{text:>width$}  "),
                false => line += &format!("{text:<width$}  "),
            }
        }
        line.trim_end().to_owned()
    };
    let heads = line(&mut columns.iter().map(|column| column.head), mark);
    let mut lines = vec![Line { text: heads, is_head: true }];
    let indent = " ".repeat(mark.len());
    lines.extend(
        shown
            .clone()
            .map(|row| plain(line(&mut row.iter().map(|cell| cell.text.as_str()), &indent))),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(topics: usize, groups: usize) -> Rows {
        let topic = |name: String| [name.into(), 1.into(), 2.into(), "x".into()];
        let group = |name: String| [name.into(), 1.into(), 2.into(), 3.into(), "x".into()];
        Rows {
            topics: (0..topics).map(|number| topic(format!("topic-{number:02}"))).collect(),
            groups: (0..groups).map(|number| group(format!("group-\u{1b}{number:02}"))).collect(),
            ..Rows::default()
        }
    }

    #[test]
    fn any_size_of_screen_is_filled_and_no_more() {
        for (topics, groups) in [(0, 0), (3, 1), (50, 50), (1, 50)] {
            for size in [(0, 0), (1, 1), (20, 3), (80, 24), (300, 100)] {
                let mut view = View { scrolled: [1_000, 1_000], ..View::default() };
                let lines = view.lines(Some(&rows(topics, groups)), "RingMQ", size);
                assert_eq!(lines.len(), size.1.max(1), "{size:?}");
                for line in &lines {
                    assert!(line.text.chars().count() <= size.0, "{line:?}");
                    assert!(!line.text.contains('\u{1b}'), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn rows_move_and_are_chosen() {
        let shown = |view: &mut View, part: &str| {
            let lines = view.lines(Some(&rows(40, 40)), "RingMQ", (80, 24));
            lines.iter().filter(|line| line.text.contains(part)).count()
        };
        let mut view = View::default();
        assert_eq!((shown(&mut view, "topic-00"), shown(&mut view, "topic-39")), (1, 0));
        view.scroll(1);
        assert_eq!((shown(&mut view, "topic-00"), shown(&mut view, "group-?00")), (0, 1));
        view.scroll(1_000);
        assert_eq!(shown(&mut view, "topic-39"), 1);
        view.filter = "-1".to_owned();
        assert_eq!((shown(&mut view, "topic-1"), shown(&mut view, "topic-2")), (10, 0));
    }
}
