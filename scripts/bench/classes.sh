# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by those who source it
# The classes of load of scripts/bench.sh. To be sourced after scripts/common.sh.

readonly ALL_CLASSES=(a b c d e f g)
readonly SMALL_BYTES=1024
readonly MEDIUM_BYTES=$((100 * 1024))
readonly LARGE_BYTES=$((10 * 1024 * 1024))
readonly PACED_RATE=20000                  # of class f, requests/s
readonly IDLE_CONNECTIONS=10000            # of class g
readonly LIGHTTPD_IDLE_CONNECTIONS=9800    # as many as it takes beside the busy ones
readonly IDLE_PER_PROCESS=5000             # well within a process's limit of open files
readonly IDLE_SOURCES=4                    # addresses that they come from

# Of a request and its answer of 1 KiB, with Ethernet, IPv4, TCP and timestamps:
# what bare frames are compared with. And what of a frame isn't payload.
readonly REQUEST_FRAME_BYTES=112
readonly ANSWER_FRAME_BYTES=1365
readonly FRAME_HEADERS_BYTES=66

# describe CLASS: sets what its load is.
#   TITLE         one line for the report
#   FILE          what is asked for, and BODY_BYTES of it
#   CONNECTIONS   busy ones
#   LOADER        who makes the load, see measure.sh
#   RAW           the bare frames that are its limit: echo, transmit or none
describe() {
    FILE=small.bin BODY_BYTES=$SMALL_BYTES CONNECTIONS=64 LOADER=wrk RAW=echo
    case $1 in
        a) TITLE="1 KiB, 64 keep-alive connections" ;;
        b) TITLE="1 KiB, 1,000 keep-alive connections" CONNECTIONS=1000 ;;
        # Frames by the connection, not by the request: no limit to compare with.
        c) TITLE="1 KiB, a connection for each request, 64 at a time" LOADER=wrk_closing RAW=none ;;
        # Few enough that their windows fit the caches, enough to fill the pipe.
        d) TITLE="100 KiB, 16 keep-alive connections"
           FILE=medium.bin BODY_BYTES=$MEDIUM_BYTES CONNECTIONS=16 RAW=transmit ;;
        e) TITLE="10 MiB, 8 keep-alive connections"
           FILE=large.bin BODY_BYTES=$LARGE_BYTES CONNECTIONS=8 RAW=transmit ;;
        f) TITLE="1 KiB at a fixed 20,000 requests/s over 64 connections" LOADER=paced RAW=none ;;
        g) TITLE="1 KiB, 64 keep-alive connections beside 10,000 idle ones" LOADER=wrk_beside_idle ;;
        *) die "no class '$1'" ;;
    esac
    URL=http://$ADDRESS/$FILE
}

# mtus_of CLASS: those to measure it at; `largest` is found when it is needed.
mtus_of() {
    if [[ $1 == [de] ]]; then echo "${MTUS[@]}"; else echo 1500; fi
}
