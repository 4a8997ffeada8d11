package main

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

const patience = 50 * time.Second

func push(c *testContext) {
	c.createTopic()
	in := &inbox{}
	early := numbered("early", 100)
	c.send(early)
	c.pushConsumer(in, c.group(""), "", "*")
	late := numbered("late", 100)
	c.send(late)
	in.awaitExactly(append(early, late...), patience)
}

func rebalance(c *testContext) {
	c.createTopic()
	group := c.group("")
	in := &inbox{}
	c.pushConsumer(in, group, "one", "*")
	alone := numbered("alone", 40)
	c.send(alone)
	in.awaitExactly(alone, patience)
	second := c.pushConsumer(in, group, "two", "*")
	// messages until both get some; each must come once, though it may wait for the new owner
	sent := alone
	for round := 0; in.count("two") == 0; round++ {
		if round > 100 {
			panic("the second consumer gets nothing")
		}
		some := numbered(fmt.Sprintf("joining %d", round), 8)
		c.send(some)
		sent = append(sent, some...)
		time.Sleep(250 * time.Millisecond)
	}
	in.awaitCount(len(sent), patience)
	// what was doubled while the queues changed hands does not count
	both := &inbox{}
	seen := len(in.all())
	bodies := numbered("both", 80)
	c.send(bodies)
	in.awaitCount(seen+80, patience)
	time.Sleep(300 * time.Millisecond)
	for _, each := range in.all()[seen:] {
		if strings.HasPrefix(string(each.message.Body), "both") {
			both.add(each.consumer, each.message)
		}
	}
	both.awaitExactly(bodies, time.Second)
	same(40, both.count("one"), "messages of the first")
	same(40, both.count("two"), "messages of the second")
	check(second.Shutdown(), "shutdown")
	left := numbered("left", 40)
	c.send(left)
	await("all messages at the first", patience, func() bool {
		got := map[string]bool{}
		for _, each := range in.all() {
			if each.consumer == "one" && strings.HasPrefix(string(each.message.Body), "left") {
				got[string(each.message.Body)] = true
			}
		}
		return len(got) == 40
	})
}

func tags(c *testContext) {
	c.createTopic()
	expressions := []string{"a || b", "*", "c"}
	inboxes := []*inbox{{}, {}, {}}
	for index, expression := range expressions {
		c.pushConsumer(inboxes[index], c.group(fmt.Sprint("_", index)), "", expression)
	}
	bodies := map[string][]string{}
	for number := 0; number < 60; number++ {
		tag := []string{"a", "b", "c", "d"}[number%4]
		body := fmt.Sprintf("tag %s %d", tag, number)
		c.sendSync(message(c.topic(), body).WithTag(tag))
		bodies[tag] = append(bodies[tag], body)
		bodies["*"] = append(bodies["*"], body)
	}
	inboxes[0].awaitExactly(append(append([]string(nil), bodies["a"]...), bodies["b"]...), patience)
	inboxes[1].awaitExactly(bodies["*"], patience)
	inboxes[2].awaitExactly(bodies["c"], patience)
}

func broadcast(c *testContext) {
	c.createTopic()
	inboxes := []*inbox{{}, {}}
	for index, in := range inboxes {
		c.pushConsumer(in, c.group(fmt.Sprint("_", index)), "", "*", consumer.WithConsumerModel(consumer.BroadCasting))
	}
	// a new broadcasting consumer may begin at the end: send until both get something
	await("both consumers receive", patience, func() bool {
		c.send([]string{"first"})
		c.send([]string{"warm"})
		time.Sleep(200 * time.Millisecond)
		return inboxes[0].count("") > 0 && inboxes[1].count("") > 0
	})
	bodies := numbered("broadcast", 40)
	c.send(bodies)
	for _, in := range inboxes {
		await("40 messages at each consumer", patience, func() bool {
			return len(prefixed(in, "broadcast")) >= 40
		})
		time.Sleep(300 * time.Millisecond)
		same(40, len(prefixed(in, "broadcast")), "messages of one consumer")
	}
}

func prefixed(in *inbox, prefix string) []string {
	var found []string
	for _, each := range in.all() {
		if strings.HasPrefix(string(each.message.Body), prefix) {
			found = append(found, string(each.message.Body))
		}
	}
	return found
}

func offsetPersist(c *testContext) {
	c.createTopic()
	group := c.group("")
	before := &inbox{}
	first := c.pushConsumer(before, group, "", "*")
	bodies := numbered("before", 40)
	c.send(bodies)
	before.awaitExactly(bodies, patience)
	check(first.Shutdown(), "shutdown")
	bodies = numbered("between", 40)
	c.send(bodies)
	after := &inbox{}
	c.pushConsumer(after, group, "", "*")
	after.awaitExactly(bodies, patience)
}

func orderly(c *testContext) {
	broker := c.createTopic()
	in := &inbox{}
	var refused atomic.Bool
	c.pushWith(c.group(""), "*", func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		if string(messages[0].Body) == "order 21" && refused.CompareAndSwap(false, true) {
			return consumer.SuspendCurrentQueueAMoment, nil
		}
		in.add("", messages...)
		return consumer.ConsumeSuccess, nil
	}, consumer.WithConsumerOrder(true), consumer.WithSuspendCurrentQueueTimeMillis(300*time.Millisecond),
		consumer.WithMaxReconsumeTimes(5))
	for number := 0; number < 100; number++ {
		named := message(c.topic(), fmt.Sprintf("order %d", number))
		named.Queue = &primitive.MessageQueue{Topic: c.topic(), BrokerName: broker, QueueId: number % 4}
		c.sendSync(named)
	}
	in.awaitCount(100, patience)
	time.Sleep(300 * time.Millisecond)
	same(100, len(in.all()), "messages")
	next := map[int]int{}
	for _, each := range in.all() {
		id := each.message.Queue.QueueId
		same(fmt.Sprintf("order %d", next[id]*4+id), string(each.message.Body), "order in a queue")
		next[id]++
	}
	same(true, refused.Load(), "suspended once")
}

func retryLater(c *testContext) {
	c.createTopic()
	in := &inbox{}
	c.pushWith(c.group(""), "*", func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		in.add("", messages...)
		if string(messages[0].Body) == "bad" && messages[0].ReconsumeTimes == 0 {
			return consumer.ConsumeRetryLater, nil
		}
		return consumer.ConsumeSuccess, nil
	})
	c.sendSync(message(c.topic(), "bad").WithTag("tag").WithKeys([]string{"key"}))
	in.awaitCount(2, 60*time.Second)
	got := in.all()
	same("bad", string(got[1].message.Body), "body of the retry")
	same(int32(1), got[1].message.ReconsumeTimes, "reconsumeTimes")
	same(c.topic(), got[1].message.Topic, "topic of the retry")
	same("tag", got[1].message.GetTags(), "tag of the retry")
	same("key", got[1].message.GetKeys(), "keys of the retry")
	if after := got[1].at.Sub(got[0].at); after < 9*time.Second {
		panic("retried after " + after.String())
	}
}

func poll(c *testContext) {
	c.createTopic()
	bodies := numbered("poll", 40)
	c.send(bodies)
	in := &inbox{}
	puller := c.pull()
	deadline := time.Now().Add(patience)
	for len(in.all()) < 40 && time.Now().Before(deadline) {
		request, err := puller.Poll(context.Background(), time.Second)
		if consumer.IsNoNewMsgError(err) {
			continue
		}
		check(err, "poll")
		in.add("", request.GetMsgList()...)
		puller.ACK(context.Background(), request, consumer.ConsumeSuccess)
	}
	in.awaitExactly(bodies, time.Second)
}

func pullEnds(c *testContext) {
	broker := c.createTopic()
	queue := c.queues(broker)[0]
	for number := 0; number < 10; number++ {
		named := message(c.topic(), fmt.Sprint("pull ", number))
		named.Queue = queue
		c.sendSync(named)
	}
	end := int64(len(c.drain(queue, 11)))
	result, err := c.pull().PullFrom(context.Background(), queue, end-3, 2)
	check(err, "pull")
	same(2, len(result.GetMessageExts()), "messages")
	same(end-1, result.NextBeginOffset, "next begin offset")
	same(int64(0), result.MinOffset, "min offset")
	same(end, result.MaxOffset, "max offset")
	result, err = c.pull().PullFrom(context.Background(), queue, end, 32)
	check(err, "pull at the end")
	same(primitive.PullNoNewMsg, result.Status, "status at the end")
	result, err = c.pull().PullFrom(context.Background(), queue, end+1, 32)
	check(err, "pull beyond the end")
	same(primitive.PullOffsetIllegal, result.Status, "status beyond the end")
	same(end, result.NextBeginOffset, "next begin offset beyond the end")
}
