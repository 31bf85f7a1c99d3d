# shellcheck shell=bash
# shellcheck disable=SC2034 # TITLE is for the report
# The cases of scripts/wan.sh: lab, files, targets, and what is done with each
# server. To be sourced after downloads.sh.
#
# MB are 10^6 bytes. A goodput of PARITY times the kernel's counts as its equal.

readonly PARITY=0.9
readonly LIMIT_S=120                       # for a download, but the gigabyte's
readonly SMALL_TIMES=10
readonly LOSSY_TIMES=6                     # of what the place of the first loss decides
FAIR_S=30
TITLE=

# --- veth: loss at full speed ------------------------------------------------

case_veth() {
    TITLE="three downloads of 20 MB at a time, 5 % loss both ways"
    REPS=${REPS:-5}
    local congestion file
    make_lab
    lose_both_ways 5
    for file in a.bin b.bin c.bin; do make_file $file 20000000; done
    for congestion in cubic bbr; do
        target "3 × 20 MB, $congestion" seconds 3
        in_turn $congestion veth_turn
    done
}

veth_turn() { at_once "3 × 20 MB, $3" "$1" "$2" $LIMIT_S a.bin b.bin c.bin; }

# --- gigabyte: everything at once, for long ----------------------------------

readonly GIGABYTE_S=900

case_gigabyte() {
    TITLE="1 GiB through everything that a path may do"
    REPS=${REPS:-1}
    local congestion rep
    make_lab --loss=5% --reorder=2% --duplicate=1% --corrupt=0.1% --seed="$SEED"
    make_file gigabyte.bin $((1 << 30))
    for congestion in cubic bbr; do
        target "1 GiB, $congestion" seconds $GIGABYTE_S
        for (( rep = 1; rep <= REPS; rep++ )); do
            step "$congestion, repetition $rep of $REPS"
            start_ours $congestion
            at_once "1 GiB, $congestion" ours "$rep" $GIGABYTE_S gigabyte.bin
            stop_server ours
        done
    done
}

# --- loss, reorder: goodput beside the kernel's ------------------------------

case_loss() {
    TITLE="20 ms round trip, 1 % loss both ways"
    REPS=${REPS:-5}
    local congestion
    make_lab --delay=10ms --loss=1% --seed="$SEED"
    make_file 3m.bin 3000000
    make_file 30m.bin 30000000
    for congestion in cubic bbr; do
        target "3 MB, $congestion" ratio $PARITY
        target "30 MB, $congestion" ratio $PARITY
        in_turn $congestion loss_turn
    done
}

loss_turn() {
    one_by_one "3 MB, $3" "$1" "$2" $LIMIT_S 3m.bin $LOSSY_TIMES
    at_once "30 MB, $3" "$1" "$2" $LIMIT_S 30m.bin
}

case_reorder() {
    TITLE="20 ms round trip, 30 % of the frames held back by up to 2 ms"
    REPS=${REPS:-5}
    local congestion
    make_lab --delay=10ms --reorder=30%:2ms --seed="$SEED"
    make_file 30m.bin 30000000
    for congestion in cubic bbr; do
        target "30 MB, $congestion" ratio $PARITY
        in_turn $congestion reorder_turn
    done
}

reorder_turn() { at_once "30 MB, $3" "$1" "$2" $LIMIT_S 30m.bin; }

# --- clean: nothing wrong but distance ---------------------------------------

case_clean() {
    TITLE="50 ms round trip, 100 Mbit/s, queue of 100 ms, no loss"
    REPS=${REPS:-5}
    local congestion
    make_lab --delay=25ms --rate=100mbit --queue=100ms --seed="$SEED"
    make_small_files
    make_file 10m.bin 10000000
    make_file 100m.bin 100000000           # in which slow start is of no account
    for congestion in cubic bbr; do
        target "14,000 bytes, $congestion" ratio $PARITY
        target "100,000 bytes, $congestion" ratio $PARITY
        target "10 MB, $congestion" ratio $PARITY
        target "100 MB, $congestion" ratio $PARITY
        record link "100 MB, $congestion" 100000000 100000000
        record link "10 MB, $congestion" 10000000 100000000
        in_turn $congestion clean_turn
    done
}

clean_turn() {
    small_turn "$@"
    at_once "10 MB, $3" "$1" "$2" $LIMIT_S 10m.bin
    at_once "100 MB, $3" "$1" "$2" $LIMIT_S 100m.bin
}

make_small_files() {
    make_file 14k.bin 14000
    make_file 100k.bin 100000
}

small_turn() {
    one_by_one "14,000 bytes, $3" "$1" "$2" $LIMIT_S 14k.bin $SMALL_TIMES
    one_by_one "100,000 bytes, $3" "$1" "$2" $LIMIT_S 100k.bin $SMALL_TIMES
}

# --- long: repairs in vain ---------------------------------------------------

readonly IN_VAIN_MOST=0.05                 # of what is sent again

case_long() {
    TITLE="200 ms round trip, 0.1 % loss both ways"
    REPS=${REPS:-5}
    local congestion
    make_lab --delay=100ms --loss=0.1% --seed="$SEED"
    make_small_files
    make_file 10m.bin 10000000
    for congestion in cubic bbr; do
        target "14,000 bytes, $congestion" ratio $PARITY
        target "100,000 bytes, $congestion" ratio $PARITY
        target "10 MB, $congestion" ratio $PARITY
        target "$congestion" in-vain $IN_VAIN_MOST
        in_turn $congestion long_turn
    done
}

long_turn() {
    local again vain figures
    at_once "10 MB, $3" "$1" "$2" $LIMIT_S 10m.bin
    small_turn "$@"
    if [[ $1 == ours ]]; then
        figures=$(repairs_of_ours)
        read -r again vain <<<"$figures"
        record repairs "$3" "$2" "$again" "$vain"
        echo "  ours: $again segments sent again, $vain in vain"
    fi
}

# --- fair: both at once ------------------------------------------------------

case_fair() {
    TITLE="two downloads from each server at a time, 50 Mbit/s, 40 ms round trip"
    REPS=${REPS:-5}
    local congestion rep
    # The queue holds as much as the path: 250 kB.
    make_lab --delay=20ms --rate=50mbit --queue=40ms --seed="$SEED"
    # More than one of them could have alone.
    make_file large.bin $((FAIR_S * 50000000 / 8))
    for congestion in cubic bbr; do
        target $congestion shares 0.5–2
        for (( rep = 1; rep <= REPS; rep++ )); do
            step "$congestion, repetition $rep of $REPS"
            fair_turn $congestion "$rep"
        done
    done
}

# fair_turn CONGESTION REP
fair_turn() {
    local flow flows=(ours-1 kernel-1 ours-2 kernel-2)
    (( $2 % 2 )) || flows=(kernel-1 ours-1 kernel-2 ours-2)
    # nginx first: its check must not count among the downloads.
    start_kernel "$1"
    start_ours "$1"
    forget_path
    for flow in "${flows[@]}"; do begin "$flow" "${flow%-*}" large.bin "$FAIR_S"; done
    for flow in "${flows[@]}"; do end_of_flow "$1" "$2" "$flow"; done
    (cd "$SCRATCH" && rm -f got.*)
    stop_server ours
    stop_server kernel
}

# end_of_flow CONGESTION REP FLOW: its time is up, as it should be, and what came
# is the file's beginning.
end_of_flow() {
    local code=0 bytes failed=0
    end "$3" || code=$?
    bytes=$(awk '{ printf "%d", $2 }' "$SCRATCH/curl.$3")
    # 28: curl's time was up.
    if (( code != 28 )); then
        note_failure "$3" "${3%-*}" large.bin "curl returned $code instead of going on"
        failed=1
    elif (( bytes == 0 )) || ! is_beginning "$3" large.bin "$bytes"; then
        note_failure "$3" "${3%-*}" large.bin "it isn't the file's beginning"
        failed=1
    fi
    record flow "$1" "$2" "$3" "$bytes" "$failed"
    echo "  $3: $bytes bytes"
}

# is_beginning NAME FILE BYTES: whether so many came and are the file's first.
is_beginning() {
    (( $(stat -c %s "$SCRATCH/got.$1") == $3 )) && cmp -s -n "$3" "$SCRATCH/got.$1" "$WWW/$2"
}
