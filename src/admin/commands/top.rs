//! `top`.

mod poll;
mod rows;
mod screen;
mod view;

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ringmq_client::Client;

use self::poll::{Poll, Sample};
use self::rows::{Rows, Sort};
use self::screen::Screen;
use self::view::View;
use crate::output::Page;
use crate::pipes::Interrupt;
use crate::session::{Run, Session, pause};

/// How long a signal may go unseen.
const NAP: Duration = Duration::from_millis(100);
/// Servers are asked for at most this part of the time.
const REST: u32 = 4;
/// Rows by which a page moves.
const PAGE: isize = 10;

#[derive(clap::Args, Debug)]
pub struct Options {
    /// How many seconds lie between two looks, over which rates are taken.
    #[arg(short = 'i', long, value_name = "SECONDS", default_value_t = 2.0,
        value_parser = seconds)]
    interval: f64,
    /// What topics and groups are sorted by.
    #[arg(short = 's', long, value_name = "ORDER", default_value = "rate")]
    sort: Sort,
    /// Looks twice, prints what it sees and ends; so it does where the output is no terminal.
    #[arg(long)]
    once: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    match (0.1..=3_600.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err(format!("{text} is not between 0.1 and 3600 seconds")),
    }
}

impl Run for Options {
    const EXAMPLES: &'static [&'static str] =
        &["-n 127.0.0.1:9876 # q ends it", "-n 127.0.0.1:9876 --sort lag --once -o json"];

    fn run(&self, session: &mut Session) -> anyhow::Result<Page> {
        let pause_time = Duration::from_secs_f64(self.interval);
        let nobody = Client::new("", None, pause_time);
        // it is the thread's from now on
        let client = std::mem::replace(&mut session.client, nobody);
        let names = client.name_servers().join(";");
        let mut poll = Poll::new(client);
        let first = poll.sample()?;
        if self.once || !session.printer.is_for_people() || !std::io::stdout().is_terminal() {
            pause(pause_time);
            return Ok(Rows::of(&first, &poll.sample()?, self.sort).page());
        }
        let interrupt = Interrupt::watch()?;
        let (sender, samples) = channel();
        std::thread::spawn(move || ask(&mut poll, pause_time, &sender));
        let view = View { sort: self.sort, ..View::default() };
        let title = format!("ringmq top  {names}");
        let mut live = Live { view, title, before: first, rows: None, trouble: None };
        live.run(&samples, &interrupt)?;
        Ok(Page::default())
    }
}

/// Looks again and again, until nobody wants to know.
fn ask(poll: &mut Poll, interval: Duration, sender: &Sender<anyhow::Result<Sample>>) {
    loop {
        pause(interval);
        let began = Instant::now();
        let sample = poll.sample();
        if sender.send(sample).is_err() {
            return;
        }
        pause((began.elapsed() * REST).saturating_sub(interval));
    }
}

/// What is shown.
struct Live {
    view: View,
    title: String,
    before: Sample,
    rows: Option<Rows>,
    /// Why there is nothing new.
    trouble: Option<String>,
}

impl Live {
    fn run(
        &mut self,
        samples: &Receiver<anyhow::Result<Sample>>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        let screen = Screen::open()?;
        let mut is_stale = true;
        while !interrupt.has_come() {
            while let Ok(sample) = samples.try_recv() {
                self.take(sample);
                is_stale = true;
            }
            if is_stale {
                let title = match &self.trouble {
                    Some(trouble) => format!("{}  ! {trouble}", self.title),
                    None => self.title.clone(),
                };
                screen.paint(&self.view.lines(self.rows.as_ref(), &title, screen.size()))?;
                is_stale = false;
            }
            if event::poll(NAP)? {
                is_stale = true;
                if let Event::Key(key) = event::read()?
                    && key.kind != KeyEventKind::Release
                    && self.press(key)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, sample: anyhow::Result<Sample>) {
        match sample {
            Ok(sample) => {
                self.rows = Some(Rows::of(&self.before, &sample, self.view.sort));
                self.before = sample;
                self.trouble = None;
            }
            Err(why) => self.trouble = Some(format!("{why:#}")),
        }
    }

    /// Whether it is the end.
    fn press(&mut self, key: KeyEvent) -> bool {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return true;
        }
        let view = &mut self.view;
        match (view.typing, key.code) {
            (true, KeyCode::Enter) => view.typing = false,
            (true, KeyCode::Esc) => {
                view.typing = false;
                view.filter.clear();
            }
            (true, KeyCode::Backspace) => {
                view.filter.pop();
            }
            (true, KeyCode::Char(letter)) => view.filter.push(letter),
            (false, KeyCode::Char('q') | KeyCode::Esc) => return true,
            (false, KeyCode::Char('r')) => self.sort(Sort::Rate),
            (false, KeyCode::Char('l')) => self.sort(Sort::Lag),
            (false, KeyCode::Char('n')) => self.sort(Sort::Name),
            (false, KeyCode::Char('/')) => view.typing = true,
            (false, KeyCode::Tab) => view.on_groups = !view.on_groups,
            (_, KeyCode::Up) => view.scroll(-1),
            (_, KeyCode::Down) => view.scroll(1),
            (_, KeyCode::PageUp) => view.scroll(-PAGE),
            (_, KeyCode::PageDown) => view.scroll(PAGE),
            (_, KeyCode::Home) => view.scroll(isize::MIN),
            (_, KeyCode::End) => view.scroll(isize::MAX),
            _ => {}
        }
        false
    }

    fn sort(&mut self, sort: Sort) {
        self.view.sort = sort;
        if let Some(rows) = &mut self.rows {
            rows.sort(sort);
        }
    }
}
