#!/bin/sh
# Writes PostgreSQL's answers into the files given: each expression is followed by `= type value` or by
# `! SQLSTATE message`, as tests/postgres.rs describes. Old answers are replaced.
#
#   PGHOST=/tmp PGUSER=postgres tests/postgres/generate.sh tests/postgres/*.txt
#
# The server should be PostgreSQL 15, its encoding UTF8 and its locale C.UTF-8.
set -eu
for file in "$@"; do
    new=$(mktemp)
    zone=UTC
    while IFS= read -r line; do
        case $line in
        '= '* | '! '*) ;;
        '' | '#'*) printf '%s\n' "$line" >>"$new" ;;
        '@ timezone '*)
            zone=${line#@ timezone }
            printf '%s\n' "$line" >>"$new"
            ;;
        *)
            printf '%s\n' "$line" >>"$new"
            PGOPTIONS="-c timezone=$zone" psql -X -A -t -F ' ' -P null=NULL -v VERBOSITY=verbose \
                -c "SELECT pg_typeof(x), x FROM (SELECT ($line) AS x) AS s" 2>&1 |
                sed -n '1s/^ERROR:  \([0-9A-Z]*\): /! \1 /;1{/^! /!s/^/= /};1p' >>"$new"
            ;;
        esac
    done <"$file"
    cat "$new" >"$file"
    rm "$new"
done
