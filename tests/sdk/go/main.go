// Sends a job's calls through RudderStack's or Segment's Go SDK and returns once all are out.
// usage: sdk-go < job.json, as jobs.py writes it
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	rudder "github.com/rudderlabs/analytics-go/v4"
	segment "github.com/segmentio/analytics-go/v3"
)

type call struct {
	Call, Name, ID, User string
	Fields               map[string]any
}

type job struct {
	SDK        string
	URL        string
	WriteKey   string
	Calls      []call
	IntervalMs int `json:"interval_ms"`
}

type sender interface {
	send(call) error
	// close ends the SDK.
	close() error
}

func main() {
	var job job
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		fail(err)
	}
	client, err := client(job)
	if err != nil {
		fail(err)
	}
	for _, call := range job.Calls {
		answers.Add(1)
		if err := client.send(call); err != nil {
			fail(err)
		}
		time.Sleep(time.Duration(job.IntervalMs) * time.Millisecond)
	}
	// Closing gives up what is being retried, so each event's own answer is waited for.
	answers.Wait()
	if err := client.close(); err != nil {
		fail(err)
	}
}

// answers counts the events that are under way; both SDKs call back for each.
var answers sync.WaitGroup

type rudderCallback struct{}

func (rudderCallback) Success(rudder.Message)            { answers.Done() }
func (rudderCallback) Failure(_ rudder.Message, e error) { fail(e) }

type segmentCallback struct{}

func (segmentCallback) Success(segment.Message)            { answers.Done() }
func (segmentCallback) Failure(_ segment.Message, e error) { fail(e) }

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func client(job job) (sender, error) {
	if strings.HasPrefix(job.SDK, "rudder-") {
		client, err := rudder.NewWithConfig(job.WriteKey, rudder.Config{
			DataPlaneUrl: job.URL,
			BatchSize:    4,
			Interval:     500 * time.Millisecond,
			DisableGzip:  strings.HasSuffix(job.SDK, "plain"),
			Callback:     rudderCallback{},
		})
		return rudderSender{client}, err
	}
	client, err := segment.NewWithConfig(job.WriteKey, segment.Config{
		Endpoint:  job.URL,
		BatchSize: 4,
		Interval:  500 * time.Millisecond,
		Callback:  segmentCallback{},
	})
	return segmentSender{client}, err
}

type rudderSender struct{ client rudder.Client }

func (s rudderSender) close() error { return s.client.Close() }

func (s rudderSender) send(c call) error {
	switch c.Call {
	case "track":
		return s.client.Enqueue(rudder.Track{UserId: c.User, Event: c.Name, Properties: c.Fields})
	case "identify":
		return s.client.Enqueue(rudder.Identify{UserId: c.User, Traits: c.Fields})
	case "page":
		return s.client.Enqueue(rudder.Page{UserId: c.User, Name: c.Name, Properties: c.Fields})
	case "screen":
		return s.client.Enqueue(rudder.Screen{UserId: c.User, Name: c.Name, Properties: c.Fields})
	case "group":
		return s.client.Enqueue(rudder.Group{UserId: c.User, GroupId: c.ID, Traits: c.Fields})
	case "alias":
		return s.client.Enqueue(rudder.Alias{UserId: c.User, PreviousId: c.ID})
	}
	return fmt.Errorf("no such call: %s", c.Call)
}

type segmentSender struct{ client segment.Client }

func (s segmentSender) close() error { return s.client.Close() }

func (s segmentSender) send(c call) error {
	switch c.Call {
	case "track":
		return s.client.Enqueue(segment.Track{UserId: c.User, Event: c.Name, Properties: c.Fields})
	case "identify":
		return s.client.Enqueue(segment.Identify{UserId: c.User, Traits: c.Fields})
	case "page":
		return s.client.Enqueue(segment.Page{UserId: c.User, Name: c.Name, Properties: c.Fields})
	case "screen":
		return s.client.Enqueue(segment.Screen{UserId: c.User, Name: c.Name, Properties: c.Fields})
	case "group":
		return s.client.Enqueue(segment.Group{UserId: c.User, GroupId: c.ID, Traits: c.Fields})
	case "alias":
		return s.client.Enqueue(segment.Alias{UserId: c.User, PreviousId: c.ID})
	}
	return fmt.Errorf("no such call: %s", c.Call)
}
