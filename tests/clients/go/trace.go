package main

import (
	"context"
	"strings"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const traceFieldEnd = "\x01"

// trace sends and consumes with the hooks of the client and looks for what they tell of each message.
func trace(c *testContext) {
	c.createTopic()
	traces := &testContext{namesrv: c.namesrv, name: c.name + "_trace"}
	defer traces.close()
	traces.createTopic()
	told := &inbox{}
	traces.pushConsumer(told, traces.group(""), "", "*")
	config := func() *primitive.TraceConfig {
		return &primitive.TraceConfig{
			TraceTopic:   traces.topic(),
			GroupName:    traces.group("_hook"),
			Access:       primitive.Local,
			NamesrvAddrs: []string{c.namesrv},
			Credentials:  traceCredentials(),
		}
	}
	sender := c.newProducer(producer.WithTrace(config()))
	in := &inbox{}
	c.pushConsumer(in, c.group(""), "", "*", consumer.WithTrace(config()))
	var ids []string
	for _, body := range numbered("traced", 20) {
		result, err := sender.SendSync(context.Background(), message(c.topic(), body))
		check(err, "send")
		ids = append(ids, result.MsgID)
	}
	has := func(kind, id string) bool {
		for _, each := range told.all() {
			for _, line := range strings.Split(string(each.message.Body), "\x02") {
				fields := strings.Split(line, traceFieldEnd)
				if fields[0] == kind && contains(fields, id) {
					return true
				}
			}
		}
		return false
	}
	for _, id := range ids {
		for _, kind := range []string{"Pub", "SubBefore", "SubAfter"} {
			await(kind+" of "+id, patience, func() bool { return has(kind, id) })
		}
	}
}

func contains(all []string, one string) bool {
	for _, each := range all {
		if each == one {
			return true
		}
	}
	return false
}

func traceCredentials() primitive.Credentials {
	if accountsAreChecked() {
		return ownAccount()
	}
	return primitive.Credentials{}
}
