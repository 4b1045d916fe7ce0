//! What is decided, told by a made-up world.

use expect_test::{Expect, expect};

use super::world::World;

/// Plays `script`, one `<time> <verb> <arguments>` a line.
#[track_caller]
fn check(script: &str, expect: Expect) {
    let mut world = World::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        world.line(line);
    }
    expect.assert_eq(&world.story);
}

#[test]
fn starts_becomes_ready_dies_and_comes_back() {
    check(
        "
        0s apply shop*2=good
        5s die 1
        9s status
        60s die 2
        61s stop
        70s status
        ",
        expect![[r#"
            0s apply shop*2=good
                  0.000s shop/1 spawn good
                  0.000s shop/1 info: started as process 1 on port 1
                  0.000s shop/2 spawn good
                  0.000s shop/2 info: started as process 2 on port 2
                  0.001s shop/1 info: process 1 is ready after 1ms
                  0.001s shop publish [1]
                  0.001s shop/2 info: process 2 is ready after 1ms
                  0.001s shop publish [1, 2]
            5s die 1
                  5.000s shop/1 error: process 1 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 254ms
                  5.000s shop publish [2]
                  5.254s shop/1 spawn good
                  5.254s shop/1 info: started as process 3 on port 3
                  5.255s shop/1 info: process 3 is ready after 1ms
                  5.255s shop publish [3, 2]
            9s status
                  9.000s shop/1 Incumbent Ready since 5255ms pid Some(3) restarts 1 ended by SIGKILL (out of memory, perhaps: see the kernel's log)
                  9.000s shop/2 Incumbent Ready since 1ms pid Some(2) restarts 0 
            60s die 2
                 60.000s shop/2 error: process 2 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 201ms
                 60.000s shop publish [3]
                 60.201s shop/2 spawn good
                 60.201s shop/2 info: started as process 4 on port 4
                 60.202s shop/2 info: process 4 is ready after 1ms
                 60.202s shop publish [3, 4]
            61s stop
                 61.000s shop signal Terminate to 3
                 61.000s shop signal Terminate to 4
                 61.000s shop publish []
                 61.005s shop/1 info: process 3 stopped
                 61.005s shop/2 info: process 4 stopped
            70s status
        "#]],
    );
}

#[test]
fn a_crash_loop_slows_down_and_says_its_last_words_once() {
    check(
        "
        0s apply bad=crash good=good
        20s status
        ",
        expect![[r#"
            0s apply bad=crash good=good
                  0.000s bad/1 spawn crash
                  0.000s bad/1 info: started as process 1 on port 1
                  0.000s good/1 spawn good
                  0.000s good/1 info: started as process 2 on port 2
                  0.001s good/1 info: process 2 is ready after 1ms
                  0.001s good publish [2]
                  0.010s bad/1 error: process 1 exited with status 1; next try in 254ms
                a last word
                  0.264s bad/1 spawn crash
                  0.264s bad/1 info: started as process 3 on port 3
                  0.274s bad/1 error: process 3 exited with status 1; next try in 474ms, failure 2 in a row
                  0.749s bad/1 spawn crash
                  0.749s bad/1 info: started as process 4 on port 4
                  0.759s bad/1 error: process 4 exited with status 1; next try in 1.2s, failure 3 in a row
                  1.999s bad/1 spawn crash
                  1.999s bad/1 info: started as process 5 on port 5
                  2.009s bad/1 error: process 5 exited with status 1; next try in 2.4s, failure 4 in a row
                  4.440s bad/1 spawn crash
                  4.440s bad/1 info: started as process 6 on port 6
                  4.450s bad/1 error: process 6 exited with status 1; next try in 4.6s, failure 5 in a row
                  9.083s bad/1 spawn crash
                  9.083s bad/1 info: started as process 7 on port 7
                  9.093s bad/1 error: process 7 exited with status 1; next try in 8.2s, failure 6 in a row
                 17.344s bad/1 spawn crash
                 17.344s bad/1 info: started as process 8 on port 8
                 17.354s bad/1 error: process 8 exited with status 1; next try in 18s, failure 7 in a row
            20s status
                 20.000s bad/1 Incumbent BackingOff since 17354ms pid None restarts 6 exited with status 1
                 20.000s good/1 Incumbent Ready since 1ms pid Some(2) restarts 0 
        "#]],
    );
}

#[test]
fn a_command_that_is_not_there_leaves_the_others_running() {
    check(
        "0s apply bad=missing good=good\n1s status",
        expect![[r#"
        0s apply bad=missing good=good
              0.000s bad/1 error: command not found: `missing` (it is in no directory of PATH); next try in 254ms
              0.000s good/1 spawn good
              0.000s good/1 info: started as process 1 on port 1
              0.001s good/1 info: process 1 is ready after 1ms
              0.001s good publish [1]
              0.254s bad/1 error: command not found: `missing` (it is in no directory of PATH); next try in 474ms, failure 2 in a row
              0.729s bad/1 error: command not found: `missing` (it is in no directory of PATH); next try in 1.2s, failure 3 in a row
        1s status
              1.000s bad/1 Incumbent BackingOff since 728ms pid None restarts 2 command not found: `missing` (it is in no directory of PATH)
              1.000s good/1 Incumbent Ready since 1ms pid Some(1) restarts 0 
    "#]],
    );
}

#[test]
fn a_lost_port_is_tried_again_at_once() {
    check(
        "0s apply shop=unlucky\n1s status",
        expect![[r#"
        0s apply shop=unlucky
              0.000s shop/1 spawn unlucky
              0.000s shop/1 info: started as process 1 on port 1
              0.010s shop/1 info: process 1 lost its port to another: trying again
              0.010s shop/1 spawn unlucky
              0.010s shop/1 info: started as process 2 on port 2
              0.020s shop/1 info: process 2 lost its port to another: trying again
              0.020s shop/1 spawn unlucky
              0.020s shop/1 info: started as process 3 on port 3
              0.021s shop/1 info: process 3 is ready after 1ms
              0.021s shop publish [3]
        1s status
              1.000s shop/1 Incumbent Ready since 21ms pid Some(3) restarts 0 
    "#]],
    );
}

#[test]
fn a_process_that_never_answers_is_started_anew() {
    check(
        "0s apply shop=never\n61s status\n61s stop\n70s wait",
        expect![[r#"
        0s apply shop=never
              0.000s shop/1 spawn never
              0.000s shop/1 info: started as process 1 on port 1
             60.000s shop signal Terminate to 1
             60.005s shop/1 error: process 1 was not healthy within 60s: refused (a service must listen on 127.0.0.1 and the port in PORT or `{port}`); next try in 254ms
             60.259s shop/1 spawn never
             60.259s shop/1 info: started as process 2 on port 2
        61s status
             61.000s shop/1 Incumbent Unproven since 60259ms pid Some(2) restarts 1 was not healthy within 60s: refused (a service must listen on 127.0.0.1 and the port in PORT or `{port}`)
        61s stop
             61.000s shop signal Terminate to 2
             61.005s shop/1 info: process 2 stopped
        70s wait
    "#]],
    );
}

#[test]
fn a_silent_instance_is_taken_out_replaced_and_then_stopped() {
    check(
        "
        0s apply shop*2=good
        10s hang 1
        20s drained 1
        21s status
        ",
        expect![[r#"
            0s apply shop*2=good
                  0.000s shop/1 spawn good
                  0.000s shop/1 info: started as process 1 on port 1
                  0.000s shop/2 spawn good
                  0.000s shop/2 info: started as process 2 on port 2
                  0.001s shop/1 info: process 1 is ready after 1ms
                  0.001s shop publish [1]
                  0.001s shop/2 info: process 2 is ready after 1ms
                  0.001s shop publish [1, 2]
            10s hang 1
                 14.008s shop/1 error: process 1 stopped answering: 3 checks in a row failed, no answer; it gets no more requests and is being replaced
                 14.008s shop publish [2]
                 14.262s shop/1 spawn good
                 14.262s shop/1 info: started as process 3 on port 3
                 14.263s shop/1 info: process 3 is ready after 1ms
                 14.263s shop publish [3, 2]
            20s drained 1
                 20.000s shop signal Terminate to 1
                 20.005s shop/1 info: process 1 stopped
            21s status
                 21.000s shop/1 Incumbent Ready since 14263ms pid Some(3) restarts 1 stopped answering: 3 checks in a row failed, no answer
                 21.000s shop/2 Incumbent Ready since 1ms pid Some(2) restarts 0 
        "#]],
    );
}

#[test]
fn a_silent_instance_that_recovers_first_stays() {
    check(
        "0s apply shop=slow\n10s hang 1\n16500ms heal 1\n30s status",
        expect![[r#"
        0s apply shop=slow
              0.000s shop/1 spawn slow
              0.000s shop/1 info: started as process 1 on port 1
              3.031s shop/1 info: process 1 is ready after 3s
              3.031s shop publish [1]
        10s hang 1
             15.037s shop/1 error: process 1 stopped answering: 3 checks in a row failed, no answer; it gets no more requests and is being replaced
             15.037s shop publish []
             15.291s shop/1 spawn slow
             15.291s shop/1 info: started as process 2 on port 2
        16500ms heal 1
             17.038s shop/1 info: process 1 answers again
             17.038s shop publish [1]
             17.038s shop signal Terminate to 2
             17.043s shop/1 info: process 2 stopped
        30s status
             30.000s shop/1 Incumbent Ready since 17038ms pid Some(1) restarts 0 stopped answering: 3 checks in a row failed, no answer
    "#]],
    );
}

#[test]
fn a_silent_instance_that_dies_leaves_its_place_to_the_replacement() {
    check(
        "0s apply shop=slow\n10s hang 1\n16s die 1\n30s status",
        expect![[r#"
        0s apply shop=slow
              0.000s shop/1 spawn slow
              0.000s shop/1 info: started as process 1 on port 1
              3.031s shop/1 info: process 1 is ready after 3s
              3.031s shop publish [1]
        10s hang 1
             15.037s shop/1 error: process 1 stopped answering: 3 checks in a row failed, no answer; it gets no more requests and is being replaced
             15.037s shop publish []
             15.291s shop/1 spawn slow
             15.291s shop/1 info: started as process 2 on port 2
        16s die 1
             16.000s shop/1 error: process 1 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 237ms
             18.322s shop/1 info: process 2 is ready after 3s
             18.322s shop publish [2]
        30s status
             30.000s shop/1 Incumbent Ready since 18322ms pid Some(2) restarts 1 stopped answering: 3 checks in a row failed, no answer
    "#]],
    );
}

#[test]
fn a_stable_time_forgives_earlier_failures() {
    check(
        "
        0s apply shop=good
        1s die 1
        2s die 2
        3s die 3
        40s die 4
        41s status
        ",
        expect![[r#"
            0s apply shop=good
                  0.000s shop/1 spawn good
                  0.000s shop/1 info: started as process 1 on port 1
                  0.001s shop/1 info: process 1 is ready after 1ms
                  0.001s shop publish [1]
            1s die 1
                  1.000s shop/1 error: process 1 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 254ms
                  1.000s shop publish []
                  1.254s shop/1 spawn good
                  1.254s shop/1 info: started as process 2 on port 2
                  1.255s shop/1 info: process 2 is ready after 1ms
                  1.255s shop publish [2]
            2s die 2
                  2.000s shop/1 error: process 2 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 474ms, failure 2 in a row
                  2.000s shop publish []
                  2.474s shop/1 spawn good
                  2.474s shop/1 info: started as process 3 on port 3
                  2.475s shop/1 info: process 3 is ready after 1ms
                  2.475s shop publish [3]
            3s die 3
                  3.000s shop/1 error: process 3 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 1.2s, failure 3 in a row
                  3.000s shop publish []
                  4.241s shop/1 spawn good
                  4.241s shop/1 info: started as process 4 on port 4
                  4.242s shop/1 info: process 4 is ready after 1ms
                  4.242s shop publish [4]
            40s die 4
                 40.000s shop/1 error: process 4 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 303ms
                 40.000s shop publish []
                 40.304s shop/1 spawn good
                 40.304s shop/1 info: started as process 5 on port 5
                 40.305s shop/1 info: process 5 is ready after 1ms
                 40.305s shop publish [5]
            41s status
                 41.000s shop/1 Incumbent Ready since 40304ms pid Some(5) restarts 4 ended by SIGKILL (out of memory, perhaps: see the kernel's log)
        "#]],
    );
}

#[test]
fn a_new_command_replaces_one_instance_after_the_other() {
    check(
        "
        0s apply shop*2=good
        10s apply shop*2=slow
        11s status
        14s drained 1
        20s drained 2
        40s status
        ",
        expect![[r#"
            0s apply shop*2=good
                  0.000s shop/1 spawn good
                  0.000s shop/1 info: started as process 1 on port 1
                  0.000s shop/2 spawn good
                  0.000s shop/2 info: started as process 2 on port 2
                  0.001s shop/1 info: process 1 is ready after 1ms
                  0.001s shop publish [1]
                  0.001s shop/2 info: process 2 is ready after 1ms
                  0.001s shop publish [1, 2]
            10s apply shop*2=slow
                 10.000s shop/1 info: starting its replacement with the new settings
                 10.000s shop/1 spawn slow
                 10.000s shop/1 info: started as process 3 on port 3
            11s status
                 11.000s shop/1 Incumbent Ready since 1ms pid Some(1) restarts 0 
                 11.000s shop/1 Candidate Unproven since 10000ms pid Some(3) restarts 0 
                 11.000s shop/2 Incumbent Ready since 1ms pid Some(2) restarts 0 
                 13.031s shop/1 info: process 3 is ready after 3s
                 13.031s shop/2 info: starting its replacement with the new settings
                 13.031s shop/2 spawn slow
                 13.031s shop/2 info: started as process 4 on port 4
                 13.031s shop publish [3, 2]
            14s drained 1
                 14.000s shop signal Terminate to 1
                 14.005s shop/1 info: process 1 stopped
                 16.062s shop/2 info: process 4 is ready after 3s
                 16.062s shop publish [3, 4]
            20s drained 2
                 20.000s shop signal Terminate to 2
                 20.005s shop/2 info: process 2 stopped
            40s status
                 40.000s shop/1 Incumbent Ready since 13031ms pid Some(3) restarts 0 
                 40.000s shop/2 Incumbent Ready since 16062ms pid Some(4) restarts 0 
        "#]],
    );
}

#[test]
fn a_new_command_that_fails_leaves_the_old_serving_until_taken_back() {
    check(
        "
        0s apply shop*2=good
        10s apply shop*2=crash
        12s status
        12s die 2
        14s apply shop*2=good
        15s status
        ",
        expect![[r#"
            0s apply shop*2=good
                  0.000s shop/1 spawn good
                  0.000s shop/1 info: started as process 1 on port 1
                  0.000s shop/2 spawn good
                  0.000s shop/2 info: started as process 2 on port 2
                  0.001s shop/1 info: process 1 is ready after 1ms
                  0.001s shop publish [1]
                  0.001s shop/2 info: process 2 is ready after 1ms
                  0.001s shop publish [1, 2]
            10s apply shop*2=crash
                 10.000s shop/1 info: starting its replacement with the new settings
                 10.000s shop/1 spawn crash
                 10.000s shop/1 info: started as process 3 on port 3
                 10.010s shop/1 error: process 3 exited with status 1; next try in 294ms
                a last word
                 10.304s shop/1 spawn crash
                 10.304s shop/1 info: started as process 4 on port 4
                 10.314s shop/1 error: process 4 exited with status 1; next try in 495ms, failure 2 in a row
                 10.810s shop/1 spawn crash
                 10.810s shop/1 info: started as process 5 on port 5
                 10.820s shop/1 error: process 5 exited with status 1; next try in 1.1s, failure 3 in a row
                 11.977s shop/1 spawn crash
                 11.977s shop/1 info: started as process 6 on port 6
                 11.987s shop/1 error: process 6 exited with status 1; next try in 1.9s, failure 4 in a row
            12s status
                 12.000s shop/1 Incumbent Ready since 1ms pid Some(1) restarts 0 
                 12.000s shop/1 Candidate BackingOff since 11986ms pid None restarts 3 exited with status 1
                 12.000s shop/2 Incumbent Ready since 1ms pid Some(2) restarts 0 
            12s die 2
                 12.000s shop/2 error: process 2 ended by SIGKILL (out of memory, perhaps: see the kernel's log); next try in 201ms
                 12.000s shop publish [1]
                 12.201s shop/2 spawn good
                 12.201s shop/2 info: started as process 7 on port 7
                 12.202s shop/2 info: process 7 is ready after 1ms
                 12.202s shop publish [1, 7]
                 13.888s shop/1 spawn crash
                 13.888s shop/1 info: started as process 8 on port 8
                 13.898s shop/1 error: process 8 exited with status 1; next try in 4.5s, failure 5 in a row
            14s apply shop*2=good
            15s status
                 15.000s shop/1 Incumbent Ready since 1ms pid Some(1) restarts 0 
                 15.000s shop/2 Incumbent Ready since 12202ms pid Some(7) restarts 1 ended by SIGKILL (out of memory, perhaps: see the kernel's log)
        "#]],
    );
}

#[test]
fn a_better_command_replaces_a_failing_one_at_once() {
    check(
        "0s apply shop*2=crash\n5s apply shop*2=good\n6s status",
        expect![[r#"
        0s apply shop*2=crash
              0.000s shop/1 spawn crash
              0.000s shop/1 info: started as process 1 on port 1
              0.000s shop/2 spawn crash
              0.000s shop/2 info: started as process 2 on port 2
              0.010s shop/1 error: process 1 exited with status 1; next try in 254ms
            a last word
              0.010s shop/2 error: process 2 exited with status 1; next try in 201ms
            a last word
              0.211s shop/2 spawn crash
              0.211s shop/2 info: started as process 3 on port 3
              0.221s shop/2 error: process 3 exited with status 1; next try in 386ms, failure 2 in a row
              0.264s shop/1 spawn crash
              0.264s shop/1 info: started as process 4 on port 4
              0.274s shop/1 error: process 4 exited with status 1; next try in 474ms, failure 2 in a row
              0.608s shop/2 spawn crash
              0.608s shop/2 info: started as process 5 on port 5
              0.618s shop/2 error: process 5 exited with status 1; next try in 1.1s, failure 3 in a row
              0.749s shop/1 spawn crash
              0.749s shop/1 info: started as process 6 on port 6
              0.759s shop/1 error: process 6 exited with status 1; next try in 1.2s, failure 3 in a row
              1.801s shop/2 spawn crash
              1.801s shop/2 info: started as process 7 on port 7
              1.811s shop/2 error: process 7 exited with status 1; next try in 2.4s, failure 4 in a row
              1.999s shop/1 spawn crash
              1.999s shop/1 info: started as process 8 on port 8
              2.009s shop/1 error: process 8 exited with status 1; next try in 2.4s, failure 4 in a row
              4.310s shop/2 spawn crash
              4.310s shop/2 info: started as process 9 on port 9
              4.320s shop/2 error: process 9 exited with status 1; next try in 3.4s, failure 5 in a row
              4.440s shop/1 spawn crash
              4.440s shop/1 info: started as process 10 on port 10
              4.450s shop/1 error: process 10 exited with status 1; next try in 4.6s, failure 5 in a row
        5s apply shop*2=good
              5.000s shop/1 spawn good
              5.000s shop/1 info: started as process 11 on port 11
              5.000s shop/2 spawn good
              5.000s shop/2 info: started as process 12 on port 12
              5.001s shop/1 info: process 11 is ready after 1ms
              5.001s shop publish [11]
              5.001s shop/2 info: process 12 is ready after 1ms
              5.001s shop publish [11, 12]
        6s status
              6.000s shop/1 Incumbent Ready since 5001ms pid Some(11) restarts 0 
              6.000s shop/2 Incumbent Ready since 5001ms pid Some(12) restarts 0 
    "#]],
    );
}

#[test]
fn a_silent_old_instance_restarts_when_the_rollout_is_stuck() {
    check(
        "
        0s apply shop*2=good
        10s apply shop*2=never
        11s hang 2
        20s status
        ",
        expect![[r#"
            0s apply shop*2=good
                  0.000s shop/1 spawn good
                  0.000s shop/1 info: started as process 1 on port 1
                  0.000s shop/2 spawn good
                  0.000s shop/2 info: started as process 2 on port 2
                  0.001s shop/1 info: process 1 is ready after 1ms
                  0.001s shop publish [1]
                  0.001s shop/2 info: process 2 is ready after 1ms
                  0.001s shop publish [1, 2]
            10s apply shop*2=never
                 10.000s shop/1 info: starting its replacement with the new settings
                 10.000s shop/1 spawn never
                 10.000s shop/1 info: started as process 3 on port 3
            11s hang 2
                 16.009s shop/2 error: process 2 stopped answering: 3 checks in a row failed, no answer; it gets no more requests and is being replaced
                 16.009s shop signal Terminate to 2
                 16.009s shop publish [1]
                 16.014s shop/2 error: process 2 stopped answering: 3 checks in a row failed, no answer; next try in 201ms
                 16.215s shop/2 spawn good
                 16.215s shop/2 info: started as process 4 on port 4
                 16.216s shop/2 info: process 4 is ready after 1ms
                 16.216s shop publish [1, 4]
            20s status
                 20.000s shop/1 Incumbent Ready since 1ms pid Some(1) restarts 0 
                 20.000s shop/1 Candidate Unproven since 10000ms pid Some(3) restarts 0 
                 20.000s shop/2 Incumbent Ready since 16216ms pid Some(4) restarts 1 stopped answering: 3 checks in a row failed, no answer
        "#]],
    );
}

#[test]
fn counts_change_and_services_go() {
    check(
        "
        0s apply shop*3=good blog=good
        10s apply shop*1=good
        11s drained 3
        50s status
        51s apply shop*2=good
        52s apply
        53s stop
        54s status
        ",
        expect![[r#"
            0s apply shop*3=good blog=good
                  0.000s blog/1 spawn good
                  0.000s blog/1 info: started as process 1 on port 1
                  0.000s shop/1 spawn good
                  0.000s shop/1 info: started as process 2 on port 2
                  0.000s shop/2 spawn good
                  0.000s shop/2 info: started as process 3 on port 3
                  0.000s shop/3 spawn good
                  0.000s shop/3 info: started as process 4 on port 4
                  0.001s blog/1 info: process 1 is ready after 1ms
                  0.001s blog publish [1]
                  0.001s shop/1 info: process 2 is ready after 1ms
                  0.001s shop publish [2]
                  0.001s shop/2 info: process 3 is ready after 1ms
                  0.001s shop publish [2, 3]
                  0.001s shop/3 info: process 4 is ready after 1ms
                  0.001s shop publish [2, 3, 4]
            10s apply shop*1=good
                 10.000s blog publish []
                 10.000s shop publish [2]
            11s drained 3
                 11.000s shop signal Terminate to 3
                 11.005s shop/2 info: process 3 stopped
                 40.000s blog signal Terminate to 1
                 40.000s shop signal Terminate to 4
                 40.005s blog/1 info: process 1 stopped
                 40.005s shop/3 info: process 4 stopped
            50s status
                 50.000s shop/1 Incumbent Ready since 1ms pid Some(2) restarts 0 
            51s apply shop*2=good
                 51.000s shop/2 spawn good
                 51.000s shop/2 info: started as process 5 on port 5
                 51.001s shop/2 info: process 5 is ready after 1ms
                 51.001s shop publish [2, 5]
            52s apply
                 52.000s shop publish []
            53s stop
                 53.000s shop signal Terminate to 5
                 53.000s shop signal Terminate to 2
                 53.005s shop/2 info: process 5 stopped
                 53.005s shop/1 info: process 2 stopped
            54s status
        "#]],
    );
}

#[test]
fn one_that_ignores_sigterm_is_killed() {
    check(
        "0s apply shop=deaf\n5s stop\n20s status",
        expect![[r#"
        0s apply shop=deaf
              0.000s shop/1 spawn deaf
              0.000s shop/1 info: started as process 1 on port 1
              0.001s shop/1 info: process 1 is ready after 1ms
              0.001s shop publish [1]
        5s stop
              5.000s shop signal Terminate to 1
              5.000s shop publish []
             15.000s shop signal Kill to 1
             15.000s shop/1 warn: process 1 did not stop within 10s: killed
             15.005s shop/1 info: process 1 stopped
        20s status
    "#]],
    );
}
