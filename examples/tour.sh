#!/usr/bin/env bash
# tour.sh: the life of a job with nothing but curl. Each request is printed, then made, then its answer is shown.
#
# usage: bide serve --data /tmp/tour &  examples/tour.sh        BIDE_SERVER=http://host:port for another server
set -euo pipefail

server=${BIDE_SERVER:-http://127.0.0.1:7080}
queue=tour-$$
answer=$(mktemp -d "${TMPDIR:-/tmp}/tour.XXXXXX")
trap 'rm -rf -- "$answer"' EXIT

if [[ -t 1 ]]; then bold=$'\e[1m' reset=$'\e[0m'; else bold='' reset=''; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$reset"; }

# ask CURL-ARGUMENT…: prints the request as one would type it, makes it, shows status, the telling headers and the body.
ask() {
	local word line='$ curl'
	for word in "$@"; do
		if [[ $word =~ ^[A-Za-z0-9_./:=-]+$ ]]; then line+=" $word"; else line+=" '$word'"; fi
	done
	printf '%s\n' "$line"
	curl -sS -D "$answer/head" -o "$answer/body" "$@"
	tr -d '\r' <"$answer/head" | grep -iE '^(HTTP|location|retry-after|preference-applied|job-|content-type)' | sed 's/^/  < /'
	if [[ -s $answer/body ]]; then
		sed 's/^/  /' "$answer/body"
		echo
	fi
}
header() { tr -d '\r' <"$answer/head" | sed -n "s/^$1: //Ip" | head -n 1; }
expect_status() {
	local got
	got=$(sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$answer/head")
	if [[ $got != "$1" ]]; then
		echo "tour.sh: expected status $1, got $got" >&2
		exit 1
	fi
}

step '1. Submit: any body, any content type. The handle comes at once.'
ask -X POST -H 'Content-Type: text/plain' --data-binary 'a long film' "$server/v1/queues/$queue/jobs"
expect_status 202
job=$(header Location)

step '2. Poll the handle. Nobody works yet, so after two seconds we hear that it is still ready.'
ask "$server$job?wait=2s"
expect_status 200

step '3. A worker claims. (With no job there it would be held, here up to 30 s.) The body is the job; the headers are the lease.'
ask -X POST "$server/v1/queues/$queue/claim?wait=30s"
expect_status 200
token=$(header Job-Token)

step '4. It says how far it is, which also extends its lease.'
ask -X POST -H "Job-Token: $token" -d '{"progress":0.5,"message":"halfway"}' "$server$job/beat"
expect_status 200

step '5. What it writes meanwhile is there for whoever follows the job: from an offset on, and held when there is nothing more yet.'
ask -X POST -H "Job-Token: $token" -H 'Content-Type: text/plain' --data-binary 'the first act is cut' "$server$job/output"
expect_status 204
ask "$server$job/output?offset=-1&live=long-poll"
expect_status 200

step '6. The client asks for the result and is held. One second later the worker is done; the answer comes in that moment.'
(
	sleep 1
	curl -sS -o /dev/null -X POST -H "Job-Token: $token" -H 'Content-Type: text/plain' --data-binary 'a short film' "$server$job/done"
) &
ask "$server$job/result?wait=30s"
expect_status 200
wait

step '7. Saying it again changes nothing (204); saying something else with the same lease is refused (409).'
ask -X POST -H "Job-Token: $token" -H 'Content-Type: text/plain' --data-binary 'a short film' "$server$job/done"
expect_status 204
ask -X POST -H "Job-Token: $token" -H 'Content-Type: text/plain' --data-binary 'another film' "$server$job/done"
expect_status 409

step '8. Short work in one request: the submit itself waits for the result.'
(
	curl -sS -D "$answer/claim" -o "$answer/claimed" -X POST "$server/v1/queues/$queue/claim?wait=30s"
	id=$(tr -d '\r' <"$answer/claim" | sed -n 's/^Job-Id: //Ip')
	lease=$(tr -d '\r' <"$answer/claim" | sed -n 's/^Job-Token: //Ip')
	tr "[:lower:]" "[:upper:]" <"$answer/claimed" |
		curl -sS -o /dev/null -X POST -H "Job-Token: $lease" -H 'Content-Type: text/plain' --data-binary @- "$server/v1/jobs/$id/done"
) &
ask -X POST -H 'Prefer: wait=20' -d 'shout this' "$server/v1/queues/$queue/jobs"
expect_status 200
wait

step '9. The same submit twice, by an Idempotency-Key: one job, one handle.'
ask -X POST -H "Idempotency-Key: \"order-$$\"" -d 'once only' "$server/v1/queues/$queue/jobs"
expect_status 202
first=$(header Location)
ask -X POST -H "Idempotency-Key: \"order-$$\"" -d 'once only' "$server/v1/queues/$queue/jobs"
[[ $(header Location) == "$first" ]] || { echo 'tour.sh: two handles for one key' >&2 && exit 1; }

step '10. Changed your mind? Cancel. It may be said twice.'
ask -X DELETE "$server$first"
expect_status 200
ask "$server$first/result"
expect_status 410

step '11. The queue, in numbers.'
ask "$server/v1/queues/$queue"
expect_status 200
