//! Draws the picture of an article: every section has its motif, every article id its own variation.

use std::f64::consts::{PI, TAU};
use std::fmt::{Display, Write};

use crate::dice::Dice;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 400.0;

/// The picture as SVG; the same for the same section and id.
pub fn draw(section: &str, id: u32) -> String {
    let mut canvas = Canvas::new(hue(section), u64::from(id));
    match section {
        "world" => globe(&mut canvas),
        "politics" => parliament(&mut canvas),
        "business" => chart(&mut canvas),
        "technology" => circuit(&mut canvas),
        "science" => orbits(&mut canvas),
        "health" => pulse(&mut canvas),
        "climate" => waves(&mut canvas),
        "sport" => track(&mut canvas),
        "cities" => skyline(&mut canvas),
        _ => tiles(&mut canvas),
    }
    canvas.finish()
}

fn hue(section: &str) -> i64 {
    match section {
        "world" => 212,
        "politics" => 352,
        "business" => 160,
        "technology" => 258,
        "science" => 192,
        "health" => 338,
        "climate" => 140,
        "culture" => 28,
        "sport" => 12,
        "cities" => 226,
        _ => 40,
    }
}

struct Canvas {
    svg: String,
    dice: Dice,
    hue: i64,
    accent: i64,
    night: bool,
}

impl Canvas {
    fn new(hue: i64, seed: u64) -> Canvas {
        let mut dice = Dice::new(seed);
        let hue = hue + dice.between(-12, 12);
        let accent = hue + dice.between(140, 220);
        let night = dice.below(3) == 0;
        let svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="xMidYMid slice">"#
        );
        let mut canvas = Canvas { svg, dice, hue, accent, night };
        let ground = canvas.tone(0.0);
        canvas.shape(format_args!(r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="{ground}"/>"#));
        canvas
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }

    /// From the ground (0) to the strongest tone (1); by night the strong tones are the light ones.
    fn tone(&self, strength: f64) -> String {
        let light = if self.night { 14.0 + 66.0 * strength } else { 92.0 - 62.0 * strength };
        format!(
            "hsl({} {}% {light:.0}%)",
            self.hue.rem_euclid(360),
            if self.night { 38 } else { 44 }
        )
    }

    fn accent(&self) -> String {
        format!("hsl({} 62% {}%)", self.accent.rem_euclid(360), if self.night { 64 } else { 54 })
    }

    fn shape(&mut self, element: impl Display) {
        write!(self.svg, "{element}").expect("writing to a String does not fail");
    }

    fn circle(&mut self, x: f64, y: f64, radius: f64, fill: &str) {
        self.shape(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{fill}"/>"#
        ));
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.shape(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#
        ));
    }

    /// A line through points, or with `fill` the area that it encloses.
    fn path(&mut self, points: &[(f64, f64)], stroke: &str, width: f64, fill: &str) {
        let mut line = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            write!(line, "{command}{x:.1} {y:.1}").expect("writing to a String does not fail");
        }
        self.shape(format_args!(
            r#"<path d="{line}" fill="{fill}" stroke="{stroke}" stroke-width="{width:.1}" stroke-linejoin="round" stroke-linecap="round"/>"#
        ));
    }

    fn ellipse(
        &mut self,
        (x, y): (f64, f64),
        (wide, high): (f64, f64),
        turn: f64,
        stroke: &str,
        width: f64,
    ) {
        self.shape(format_args!(
            r#"<ellipse cx="{x:.1}" cy="{y:.1}" rx="{wide:.1}" ry="{high:.1}" fill="none" stroke="{stroke}" stroke-width="{width:.1}" transform="rotate({turn:.0} {x:.1} {y:.1})"/>"#
        ));
    }
}

fn globe(canvas: &mut Canvas) {
    let (x, y) = (canvas.dice.span(200.0, 400.0), canvas.dice.span(190.0, 290.0));
    let radius = canvas.dice.span(135.0, 215.0);
    let (sea, line, accent) = (canvas.tone(0.35), canvas.tone(0.75), canvas.accent());
    let halo = canvas.tone(0.12);
    canvas.circle(x, y, radius * 1.32, &halo);
    canvas.circle(x, y, radius, &sea);
    let turn = canvas.dice.span(-30.0, 30.0);
    for step in 1..6 {
        canvas.ellipse(
            (x, y),
            (radius * (f64::from(step) / 6.0 * PI / 2.0).sin(), radius),
            turn,
            &line,
            1.5,
        );
        canvas.ellipse(
            (x, y),
            (radius, radius * (f64::from(step) / 6.0 * PI / 2.0).sin()),
            turn,
            &line,
            1.0,
        );
    }
    for _ in 0..canvas.dice.between(3, 5) {
        let places = [0, 1].map(|_| {
            let (angle, far) = (canvas.dice.span(0.0, TAU), radius * canvas.dice.span(0.35, 0.9));
            (x + far * angle.cos(), y + far * angle.sin())
        });
        let [(x1, y1), (x2, y2)] = places;
        let lift = canvas.dice.span(50.0, 130.0);
        canvas.shape(format_args!(
            r#"<path d="M{x1:.1} {y1:.1}Q{:.1} {:.1} {x2:.1} {y2:.1}" fill="none" stroke="{accent}" stroke-width="3" stroke-linecap="round"/>"#,
            (x1 + x2) / 2.0,
            (y1 + y2) / 2.0 - lift,
        ));
        for (x, y) in places {
            canvas.circle(x, y, 6.0, &accent);
        }
    }
}

fn parliament(canvas: &mut Canvas) {
    let (left, middle, right) = (canvas.tone(0.8), canvas.tone(0.4), canvas.accent());
    let first = canvas.dice.span(0.25, 0.5);
    let second = first + canvas.dice.span(0.1, 0.3);
    let rows = canvas.dice.between(5, 8);
    let seat = canvas.dice.span(8.0, 11.0);
    for row in 0..rows {
        let radius = 90.0 + 190.0 * row as f64 / (rows - 1) as f64;
        let seats = (radius * PI / (seat * 2.7)) as i64;
        for index in 0..=seats {
            let share = index as f64 / seats as f64;
            let angle = PI * (1.0 - share);
            let fill = if share < first {
                &left
            } else if share < second {
                &middle
            } else {
                &right
            };
            canvas.circle(300.0 + radius * angle.cos(), 345.0 - radius * angle.sin(), seat, fill);
        }
    }
    let desk = canvas.tone(0.95);
    canvas.rect(262.0, 322.0, 76.0, 26.0, &desk);
}

fn chart(canvas: &mut Canvas) {
    let bars = canvas.dice.between(7, 14);
    let step = 520.0 / bars as f64;
    let grid = canvas.tone(0.15);
    for line in 1..6 {
        canvas.rect(40.0, f64::from(line) * 60.0, 520.0, 2.0, &grid);
    }
    let mut height = canvas.dice.span(60.0, 180.0);
    let mut tops = Vec::new();
    for bar in 0..bars {
        height = (height + canvas.dice.span(-50.0, 75.0)).clamp(40.0, 290.0);
        let x = 40.0 + bar as f64 * step;
        let strength = 0.3 + canvas.dice.span(0.0, 0.3);
        let fill = canvas.tone(strength);
        canvas.rect(x + step * 0.12, 360.0 - height, step * 0.76, height, &fill);
        tops.push((x + step / 2.0, 335.0 - height - canvas.dice.span(0.0, 30.0)));
    }
    let accent = canvas.accent();
    canvas.path(&tops, &accent, 5.0, "none");
    if let Some((x, y)) = tops.last() {
        canvas.circle(*x, *y, 11.0, &accent);
    }
    let base = canvas.tone(0.9);
    canvas.rect(40.0, 360.0, 520.0, 4.0, &base);
}

fn circuit(canvas: &mut Canvas) {
    let (line, accent, node) = (canvas.tone(0.45), canvas.accent(), canvas.tone(0.85));
    let grid = 25.0;
    for trace in 0..canvas.dice.between(16, 24) {
        let mut at =
            (canvas.dice.between(0, 24) as f64 * grid, canvas.dice.between(0, 16) as f64 * grid);
        let mut points = vec![at];
        for leg in 0..canvas.dice.between(2, 4) {
            let length = canvas.dice.between(-6, 6) as f64 * grid;
            if leg % 2 == 0 {
                at.0 += length
            } else {
                at.1 += length
            }
            points.push(at);
        }
        let stroke = if trace % 5 == 0 { &accent } else { &line };
        canvas.path(&points, stroke, 4.0, "none");
        canvas.circle(points[0].0, points[0].1, 7.0, stroke);
        canvas.circle(at.0, at.1, 7.0, stroke);
    }
    let (x, y) =
        (canvas.dice.between(8, 13) as f64 * grid, canvas.dice.between(4, 8) as f64 * grid);
    canvas.rect(x, y, 125.0, 125.0, &node);
    let core = canvas.accent();
    canvas.rect(x + 40.0, y + 40.0, 45.0, 45.0, &core);
    for pin in 0..5 {
        let along = 12.5 + f64::from(pin) * grid;
        for (px, py) in [(along, -12.0), (along, 129.0), (-12.0, along), (129.0, along)] {
            canvas.rect(x + px - 4.0, y + py - 2.0, 8.0, 8.0, &node);
        }
    }
}

fn orbits(canvas: &mut Canvas) {
    let centre = (canvas.dice.span(230.0, 370.0), canvas.dice.span(160.0, 240.0));
    for _ in 0..40 {
        let (x, y) = (canvas.dice.span(0.0, WIDTH), canvas.dice.span(0.0, HEIGHT));
        let fill = canvas.tone(0.3);
        let radius = canvas.dice.span(1.0, 3.0);
        canvas.circle(x, y, radius, &fill);
    }
    let turn = canvas.dice.span(-50.0, 50.0);
    let flat = canvas.dice.span(0.3, 0.75);
    for ring in 1..=canvas.dice.between(4, 6) {
        let wide = 55.0 + ring as f64 * 45.0;
        let (line, body) =
            (canvas.tone(0.4), if ring % 3 == 0 { canvas.accent() } else { canvas.tone(0.75) });
        canvas.ellipse(centre, (wide, wide * flat), turn, &line, 2.0);
        let angle = canvas.dice.span(0.0, TAU);
        let (along, across) = (wide * angle.cos(), wide * flat * angle.sin());
        let tilt = turn.to_radians();
        let radius = canvas.dice.span(7.0, 19.0);
        canvas.circle(
            centre.0 + along * tilt.cos() - across * tilt.sin(),
            centre.1 + along * tilt.sin() + across * tilt.cos(),
            radius,
            &body,
        );
    }
    let sun = canvas.accent();
    canvas.circle(centre.0, centre.1, 36.0, &sun);
}

fn pulse(canvas: &mut Canvas) {
    for _ in 0..canvas.dice.between(5, 8) {
        let strength = canvas.dice.span(0.08, 0.35);
        let fill = canvas.tone(strength);
        let (x, y) = (canvas.dice.span(40.0, 560.0), canvas.dice.span(30.0, 370.0));
        let radius = canvas.dice.span(40.0, 130.0);
        canvas.circle(x, y, radius, &fill);
        let kernel = canvas.tone(strength + 0.15);
        canvas.circle(x + radius * 0.2, y - radius * 0.1, radius * 0.3, &kernel);
    }
    let middle = canvas.dice.span(170.0, 240.0);
    let mut points = vec![(0.0, middle)];
    let mut x = canvas.dice.span(30.0, 90.0);
    while x < 520.0 {
        let beat = canvas.dice.span(70.0, 135.0);
        for (ahead, up) in [
            (0.0, 0.0),
            (14.0, 0.12),
            (26.0, 0.0),
            (36.0, -0.2),
            (50.0, 1.0),
            (66.0, -0.55),
            (78.0, 0.0),
        ] {
            points.push((x + ahead, middle - beat * up));
        }
        x += canvas.dice.span(115.0, 165.0);
    }
    points.push((WIDTH, middle));
    let stroke = canvas.accent();
    canvas.path(&points, &stroke, 6.0, "none");
}

fn waves(canvas: &mut Canvas) {
    let (sun, glow) = (canvas.accent(), canvas.tone(0.14));
    let (x, y, radius) = (
        canvas.dice.span(110.0, 490.0),
        canvas.dice.span(80.0, 170.0),
        canvas.dice.span(38.0, 66.0),
    );
    canvas.circle(x, y, radius * 1.8, &glow);
    canvas.circle(x, y, radius, &sun);
    let layers = canvas.dice.between(4, 6);
    for layer in 0..layers {
        let share = layer as f64 / (layers - 1) as f64;
        let base = 190.0 + 150.0 * share;
        let (high, long) =
            (canvas.dice.span(14.0, 48.0) * (1.2 - share), canvas.dice.span(90.0, 210.0));
        let shift = canvas.dice.span(0.0, TAU);
        let mut points = vec![(-10.0, HEIGHT + 10.0)];
        for step in 0..=62 {
            let x = -10.0 + f64::from(step) * 10.0;
            points.push((
                x,
                base + high * (x / long * PI + shift).sin() + high * 0.4 * (x / long * 7.0).sin(),
            ));
        }
        points.push((WIDTH + 10.0, HEIGHT + 10.0));
        let fill = canvas.tone(0.25 + 0.6 * share);
        canvas.path(&points, "none", 0.0, &fill);
    }
}

fn track(canvas: &mut Canvas) {
    let lanes = canvas.dice.between(6, 9);
    let centre = (canvas.dice.span(60.0, 260.0), canvas.dice.span(330.0, 470.0));
    let turn = canvas.dice.span(-24.0, 24.0);
    let flat = canvas.dice.span(0.72, 0.95);
    let base = canvas.tone(0.42);
    canvas.ellipse(centre, (315.0, 315.0 * flat), turn, &base, lanes as f64 * 28.0);
    for lane in 0..=lanes {
        let wide = 315.0 + (lane as f64 - lanes as f64 / 2.0) * 28.0;
        let line = canvas.tone(0.04);
        let offset = (wide - 315.0) + 315.0 * flat;
        canvas.ellipse(centre, (wide, offset), turn, &line, 3.0);
    }
    let (ball, seam) = (canvas.accent(), canvas.tone(0.02));
    let (x, y) = (canvas.dice.span(330.0, 460.0), canvas.dice.span(70.0, 150.0));
    let radius = canvas.dice.span(34.0, 58.0);
    canvas.circle(x, y, radius, &ball);
    let tilt = canvas.dice.span(0.0, 180.0);
    canvas.ellipse((x, y), (radius * 0.42, radius), tilt, &seam, 3.5);
    canvas.ellipse((x, y), (radius, radius), 0.0, &seam, 3.5);
}

fn skyline(canvas: &mut Canvas) {
    let moon = canvas.accent();
    let (x, y, radius) = (
        canvas.dice.span(90.0, 510.0),
        canvas.dice.span(60.0, 120.0),
        canvas.dice.span(26.0, 46.0),
    );
    canvas.circle(x, y, radius, &moon);
    for layer in 0..3 {
        let strength = 0.25 + 0.3 * f64::from(layer);
        let (wall, lamp) = (canvas.tone(strength), canvas.accent());
        let dark = canvas.tone(strength - 0.16);
        let mut x = -canvas.dice.span(0.0, 40.0);
        while x < WIDTH {
            let (width, height) = (
                canvas.dice.span(38.0, 84.0),
                canvas.dice.span(90.0, 260.0 - 45.0 * f64::from(layer)),
            );
            let top = HEIGHT - height;
            canvas.rect(x, top, width, height, &wall);
            match canvas.dice.below(4) {
                0 => canvas.path(
                    &[(x, top), (x + width / 2.0, top - 34.0), (x + width, top)],
                    "none",
                    0.0,
                    &wall,
                ),
                1 => canvas.rect(x + width / 2.0 - 2.0, top - 40.0, 4.0, 40.0, &wall),
                _ => {}
            }
            // Only the nearest houses are near enough for windows.
            if layer == 2 {
                for row in 0..(height / 24.0) as i64 {
                    for column in 0..((width - 14.0) / 16.0) as i64 {
                        let fill = if canvas.dice.below(4) == 0 { &lamp } else { &dark };
                        canvas.rect(
                            x + 10.0 + column as f64 * 16.0,
                            top + 12.0 + row as f64 * 24.0,
                            8.0,
                            12.0,
                            fill,
                        );
                    }
                }
            }
            x += width + canvas.dice.span(0.0, 12.0);
        }
    }
}

fn tiles(canvas: &mut Canvas) {
    let size = *canvas.dice.pick(&[100.0, 200.0 / 1.5, 200.0]);
    let (columns, rows) = ((WIDTH / size).ceil() as i64, (HEIGHT / size).ceil() as i64);
    for row in 0..rows {
        for column in 0..columns {
            let (x, y) = (column as f64 * size, row as f64 * size);
            let strength = *canvas.dice.pick(&[0.06, 0.2, 0.45, 0.7]);
            let ground = canvas.tone(strength);
            canvas.rect(x, y, size, size, &ground);
            let fill = match canvas.dice.below(4) {
                0 => canvas.accent(),
                1 => canvas.tone(0.95),
                _ => canvas.tone((strength + 0.4) % 1.0),
            };
            let turn = canvas.dice.below(4) * 90;
            let half = size / 2.0;
            let shape = match canvas.dice.below(5) {
                0 => format!("M0 0H{size}A{size} {size} 0 0 1 0 {size}Z"),
                1 => format!("M0 {half}A{half} {half} 0 0 1 {size} {half}Z"),
                2 => format!("M0 0L{size} 0L0 {size}Z"),
                3 => format!(
                    "M{half} 0A{half} {half} 0 1 1 {half} {size}A{half} {half} 0 1 1 {half} 0Z"
                ),
                _ => format!("M0 0H{half}V{size}H0Z"),
            };
            canvas.shape(format_args!(
                r#"<path d="{shape}" fill="{fill}" transform="translate({x:.1} {y:.1}) rotate({turn} {half:.1} {half:.1})"/>"#
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::SECTIONS;

    #[test]
    fn pictures_are_repeatable_and_different() {
        for (section, _) in SECTIONS {
            assert_eq!(draw(section, 7), draw(section, 7));
            assert_ne!(draw(section, 7), draw(section, 8));
        }
    }

    #[test]
    fn pictures_hold_only_numbers_that_can_be_drawn() {
        for (section, _) in SECTIONS {
            for id in 0..50 {
                let svg = draw(section, id);
                assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{section} {id}");
            }
        }
    }
}
