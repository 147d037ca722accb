// Receives the events of all rooms as webhooks, each once and in order, and proves that none is missing.
//
//	go run webhook.go localhost:9000 billing.secret
//
// It needs no packages. What it knows is gone when it ends: keep `last` with your results, in one transaction.
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

func main() {
	text, err := os.ReadFile(os.Args[2])
	secret, bad := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(text)), "whsec_"))
	if err != nil || bad != nil {
		log.Fatal("no secret: ", err, bad)
	}
	var lock sync.Mutex
	last := map[string][2]uint64{} // the last event of each room: epoch, seq
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
		part := strings.Split(id, ":") // room:epoch:seq, and a room may have colons
		room, n := strings.Join(part[:len(part)-2], ":"), len(part)
		epoch, _ := strconv.ParseUint(part[n-2], 10, 64)
		seq, _ := strconv.ParseUint(part[n-1], 10, 64)
		lock.Lock()
		defer lock.Unlock()
		before := last[room]
		if epoch < before[0] || epoch == before[0] && seq <= before[1] {
			return // A repeat: it is done.
		}
		if epoch == before[0] && seq != before[1]+1 || epoch > before[0] && seq != 1 {
			log.Fatal(id, " comes after ", before)
		}
		fmt.Println(id, string(body))
		last[room] = [2]uint64{epoch, seq}
	})))
}
