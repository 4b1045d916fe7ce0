//! Routes are tested as text: routes and requests in, trail and outcome out.

use expect_test::expect;

use crate::harness::check;

const SERVICES: &str =
    "service = { a = { endpoints = ['127.0.0.1:1'] }, b = { endpoints = ['127.0.0.1:2'] } }\n";

fn with_services(routes: &str) -> String {
    format!("{SERVICES}{routes}")
}

#[test]
fn the_most_specific_path_wins_whatever_the_order() {
    check(
        &with_services(
            "[[route]]\npath = '/*'\nservice = 'a'\n\
             [[route]]\npath = '/users/{id}'\nservice = 'b'\n\
             [[route]]\npath = '/users/me'\nservice = 'a'\n\
             [[route]]\npath = '/users/*'\nservice = 'b'\n",
        ),
        "GET h /users/me
         GET h /users/7
         GET h /users/7/posts
         GET h /users
         GET h /users/
         GET h /usersx",
        expect![[r#"
            GET h /users/me
              route            match   the most specific match route=/users/me
              route            lost    its path is less specific route=/users/{id}
              route            lost    its path is less specific route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=a
              => forward a
            GET h /users/7
              route            match   the most specific match route=/users/{id}
              route            lost    its path is less specific route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=b
              => forward b
            GET h /users/7/posts
              route            match   the most specific match route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=b
              => forward b
            GET h /users
              route            match   the most specific match route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=b
              => forward b
            GET h /users/
              route            match   the most specific match route=/users/*
              route            lost    its path is less specific route=/*
              service          choose  the route names it name=b
              => forward b
            GET h /usersx
              route            match   the only match route=/*
              service          choose  the route names it name=a
              => forward a
        "#]],
    );
}
