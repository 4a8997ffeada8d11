package main

import (
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

type item struct {
	consumer string
	message  *primitive.MessageExt
	at       time.Time
}

// inbox is what consumers received, in the order in which it came.
type inbox struct {
	lock  sync.Mutex
	items []item
}

func (in *inbox) add(consumer string, messages ...*primitive.MessageExt) {
	in.lock.Lock()
	defer in.lock.Unlock()
	for _, each := range messages {
		// the message of createTopic is there only for the topic to exist
		if string(each.Body) != "first" {
			in.items = append(in.items, item{consumer, each, time.Now()})
		}
	}
}

func (in *inbox) all() []item {
	in.lock.Lock()
	defer in.lock.Unlock()
	return append([]item(nil), in.items...)
}

func (in *inbox) count(consumer string) int {
	count := 0
	for _, each := range in.all() {
		if each.consumer == consumer {
			count++
		}
	}
	return count
}

func (in *inbox) awaitCount(count int, timeout time.Duration) {
	deadline := time.Now().Add(timeout)
	for len(in.all()) < count {
		if time.Now().After(deadline) {
			panic(fmt.Sprintf("received %d of %d messages within %v", len(in.all()), count, timeout))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitExactly waits for these bodies and makes sure that none came twice and none besides.
func (in *inbox) awaitExactly(bodies []string, timeout time.Duration) {
	in.awaitCount(len(bodies), timeout)
	time.Sleep(300 * time.Millisecond)
	var got []string
	for _, each := range in.all() {
		got = append(got, string(each.message.Body))
	}
	expected := append([]string(nil), bodies...)
	sort.Strings(expected)
	sort.Strings(got)
	sameList(expected, got, "received bodies")
}
