package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func numbered(prefix string, count int) []string {
	var bodies []string
	for number := 0; number < count; number++ {
		bodies = append(bodies, fmt.Sprintf("%s %d", prefix, number))
	}
	sort.Strings(bodies)
	return bodies
}

// send sends these bodies one by one.
func (c *testContext) send(bodies []string) {
	for _, body := range bodies {
		c.sendSync(message(c.topic(), body))
	}
}

func syncSend(c *testContext) {
	broker := c.createTopic()
	ids := map[string]bool{}
	for _, queue := range c.queues(broker) {
		begin := int64(1)
		for number := int64(0); number < 10; number++ {
			named := message(c.topic(), fmt.Sprintf("%d/%d", queue.QueueId, number))
			named.Queue = queue
			result := c.sendSync(named)
			same(queue.QueueId, result.MessageQueue.QueueId, "queue id")
			same(begin+number, result.QueueOffset, "queue offset")
			same(32, len(result.OffsetMsgID), "length of OffsetMsgID")
			ids[result.OffsetMsgID] = true
		}
		stored := c.drain(queue, 11)[begin:]
		for number, each := range stored {
			same(fmt.Sprintf("%d/%d", queue.QueueId, number), string(each.Body), "body")
		}
		same(10, len(stored), "stored messages")
	}
	same(40, len(ids), "different OffsetMsgIDs")
}

func asyncSend(c *testContext) {
	broker := c.createTopic()
	var group sync.WaitGroup
	var lock sync.Mutex
	var failures []string
	bodies := numbered("async", 100)
	// so many at once as no broker refuses
	window := make(chan struct{}, 16)
	for _, body := range bodies {
		group.Add(1)
		window <- struct{}{}
		err := c.producer().SendAsync(context.Background(),
			func(_ context.Context, result *primitive.SendResult, err error) {
				defer group.Done()
				<-window
				lock.Lock()
				defer lock.Unlock()
				if err != nil {
					failures = append(failures, err.Error())
				} else if result.Status != primitive.SendOK {
					failures = append(failures, result.String())
				}
			}, message(c.topic(), body))
		check(err, "async send")
	}
	group.Wait()
	sameList(nil, failures, "failures")
	await("100 messages", 10*time.Second, func() bool { return len(c.bodies(broker)) >= 100 })
	sameList(bodies, c.bodies(broker), "stored bodies")
}

func onewaySend(c *testContext) {
	broker := c.createTopic()
	bodies := numbered("oneway", 20)
	for _, body := range bodies {
		check(c.producer().SendOneWay(context.Background(), message(c.topic(), body)), "one-way send")
	}
	await("20 messages", 10*time.Second, func() bool { return len(c.bodies(broker)) >= 20 })
	sameList(bodies, c.bodies(broker), "stored bodies")
}

func batchSend(c *testContext) {
	broker := c.createTopic()
	queue := c.queues(broker)[1]
	begin := 1
	for round := 0; round < 3; round++ {
		var batch []*primitive.Message
		for number := 0; number < 32; number++ {
			each := message(c.topic(), fmt.Sprintf("batch %d/%d", round, number))
			each.WithTag("tag").WithKeys([]string{fmt.Sprintf("key%d", number)})
			each.Queue = queue
			batch = append(batch, each)
		}
		result := c.sendSync(batch...)
		same(int64(begin+round*32), result.QueueOffset, "offset of the first")
	}
	stored := c.drain(queue, 97)[begin:]
	same(96, len(stored), "stored messages")
	for index, each := range stored {
		same(fmt.Sprintf("batch %d/%d", index/32, index%32), string(each.Body), "body")
		same("tag", each.GetTags(), "tag")
		same(fmt.Sprintf("key%d", index%32), each.GetKeys(), "keys")
	}
}

func bigCompressed(c *testContext) {
	broker := c.createTopic()
	queue := c.queues(broker)[2]
	begin := 1
	body := strings.Repeat("All work and no play makes Jack a dull boy. ", 24_000)
	big := message(c.topic(), body)
	big.Queue = queue
	c.sendSync(big)
	stored := c.drain(queue, 2)[begin:]
	same(1, len(stored), "stored messages")
	if string(stored[0].Body) != body {
		panic("the body differs")
	}
	if stored[0].StoreSize > 100_000 {
		panic(fmt.Sprintf("not compressed: %d bytes stored", stored[0].StoreSize))
	}
}

func properties(c *testContext) {
	broker := c.createTopic()
	queue := c.queues(broker)[3]
	begin := 1
	sent := message(c.topic(), "body \u6d88\u606f")
	sent.WithTag("Stra\u00dfe").WithKeys([]string{"one", "schl\u00fcssel"})
	sent.WithProperty("gr\u00f6\u00dfe", "\u4e2d\u6587 \"quoted\" {\\}")
	sent.Queue = queue
	c.sendSync(sent)
	stored := c.drain(queue, 2)[begin:]
	same(1, len(stored), "stored messages")
	same("body \u6d88\u606f", string(stored[0].Body), "body")
	same("Stra\u00dfe", stored[0].GetTags(), "tag")
	same("one schl\u00fcssel", stored[0].GetKeys(), "keys")
	same("\u4e2d\u6587 \"quoted\" {\\}", stored[0].GetProperty("gr\u00f6\u00dfe"), "property")
}

func refusals(c *testContext) {
	broker := c.createTopic()
	bad := message(c.topic(), "x")
	bad.Queue = &primitive.MessageQueue{Topic: c.topic(), BrokerName: broker, QueueId: 99}
	if _, err := c.producer().SendSync(context.Background(), bad); err == nil {
		panic("queue 99 of 4: expected a refusal, it was accepted")
	}
	if _, err := c.producer().SendSync(context.Background(), message("not legal!", "x")); err == nil {
		panic("an illegal topic name: expected a refusal, it was accepted")
	}
	c.send([]string{"good"})
	await("1 message", 10*time.Second, func() bool { return len(c.bodies(broker)) >= 1 })
	sameList([]string{"good"}, c.bodies(broker), "stored bodies")
}
