// Receives the events of all rooms as webhooks, each once and in order, and notices if one is missing.
//
//	go run webhook.go localhost:9000 billing.secret seen.txt
//
// It needs no packages. The work on an event is a line in a file: it is written whole or not at all, and says how far its
// room is, so that a restart repeats nothing. Keep that in one transaction with your results.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var last = map[string][2]uint64{} // the last event of each room: epoch, seq

// The parts of room:epoch:seq; a room may have colons.
func parse(id string) (room string, epoch, seq uint64) {
	part := strings.Split(id, ":")
	n := len(part)
	if n < 3 {
		return id, 0, 0
	}
	epoch, _ = strconv.ParseUint(part[n-2], 10, 64)
	seq, _ = strconv.ParseUint(part[n-1], 10, 64)
	return strings.Join(part[:n-2], ":"), epoch, seq
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	text, err := os.ReadFile(os.Args[2])
	must(err)
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(text)), "whsec_"))
	must(err)
	seen, err := os.OpenFile(os.Args[3], os.O_RDWR|os.O_CREATE, 0o600)
	must(err)
	lines, err := io.ReadAll(seen)
	must(err)
	whole := strings.LastIndex(string(lines), "\n") + 1 // a crash may have cut off the last one
	for _, line := range strings.Fields(string(lines[:whole])) {
		room, epoch, seq := parse(line)
		last[room] = [2]uint64{epoch, seq}
	}
	must(seen.Truncate(int64(whole)))
	_, err = seen.Seek(int64(whole), io.SeekStart)
	must(err)
	var lock sync.Mutex
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		id, sent := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "%s.%s.%s", id, sent, body)
		signature := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		at, _ := strconv.ParseInt(sent, 10, 64)
		if !strings.Contains(" "+r.Header.Get("webhook-signature")+" ", " "+signature+" ") ||
			time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute || err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		room, epoch, seq := parse(id)
		lock.Lock()
		defer lock.Unlock()
		before, isKnown := last[room]
		if epoch < before[0] || epoch == before[0] && seq <= before[1] {
			return // A repeat: it is done.
		}
		next := uint64(1) // of a restored room
		if epoch == before[0] {
			next = before[1] + 1
		}
		// A webhook that started with new events begins somewhere in a room. Of a deleted room only that is left, and
		// what was skipped (skip-refused, retry --skip) never comes: refusing what follows would not bring it.
		if isKnown && seq != next && !strings.HasPrefix(string(body), `{"type":"parlance.room.deleted.v1"`) {
			log.Print("missing: ", id, " comes after ", before)
		}
		if _, err := fmt.Fprintln(seen, id); err != nil {
			log.Fatal(err)
		}
		last[room] = [2]uint64{epoch, seq}
		fmt.Println(id, string(body))
	})))
}
