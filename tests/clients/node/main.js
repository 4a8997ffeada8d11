'use strict';

// Scenarios of the Node client ali-ons: main.js NAMESRV SCENARIOS, a regular expression of whole names.

const assert = require('assert');
const httpclient = require('urllib');
const { Consumer, Message, Producer } = require('ali-ons');

const [nameSrv, wanted] = process.argv.slice(2);
const RUN = Date.now().toString(36);
const MESSAGES = 100;
const WAIT_MS_MAX = 60000;
const quiet = { info() {}, debug() {}, warn: console.error, error: console.error };

/** What a scenario works with; closed when it ends. */
class Context {
  constructor(name) {
    this.name = name;
    this.clients = [];
  }

  get topic() {
    return `TNode_${this.name}_${RUN}`;
  }

  options() {
    return { httpclient, nameSrv, accessKeyId: 'none', accessKeySecret: 'none', logger: quiet,
      instanceName: `${this.name}-${this.clients.length}` };
  }

  async producer() {
    const producer = new Producer(Object.assign(this.options(), { producerGroup: `P_${this.topic}` }));
    this.clients.push(producer);
    producer.on('error', error => console.error(error));
    await producer.ready();
    return producer;
  }

  /** This client cannot send to a topic that is not there: made by its unpublished means. */
  async createTopic(producer) {
    const api = producer._mqClient;
    const route = await api.getDefaultTopicRouteInfoFromNameServer('TBW102', 3000);
    const address = route.brokerDatas[0].brokerAddrs['0'];
    const settings = { topicName: this.topic, readQueueNums: 4, writeQueueNums: 4, perm: 6,
      topicFilterType: 'SINGLE_TAG', topicSysFlag: 0, order: false };
    await api.createTopic(address, 'TBW102', settings, 3000);
  }

  /** A producer whose topic is there. */
  async topicProducer() {
    const producer = await this.producer();
    await this.createTopic(producer);
    return producer;
  }

  async consumer(group, tags, handler) {
    const consumer = new Consumer(Object.assign(this.options(), {
      consumerGroup: `G_${this.topic}_${group}`, consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' }));
    this.clients.push(consumer);
    consumer.on('error', error => console.error(error));
    consumer.subscribe(this.topic, tags, handler);
    await consumer.ready();
    return consumer;
  }

  async close() {
    for (const client of this.clients.reverse()) {
      await client.close();
    }
  }
}

/** Collects bodies until there are so many; more than one of a body is an error. */
class Inbox {
  constructor(count) {
    this.bodies = new Map();
    this.full = new Promise(resolve => {
      this.add = message => {
        const body = message.body.toString();
        this.bodies.set(body, (this.bodies.get(body) || 0) + 1);
        if (this.bodies.size === count) {
          resolve();
        }
      };
    });
  }

  async holds(expected) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`${this.bodies.size} of ${expected.length} messages in ${WAIT_MS_MAX} ms`));
      }, WAIT_MS_MAX);
    });
    await Promise.race([this.full, late]);
    clearTimeout(timer);
    assert.deepStrictEqual([...this.bodies.keys()].sort(), [...expected].sort());
    for (const [body, times] of this.bodies) {
      assert.strictEqual(times, 1, `${body} came ${times} times`);
    }
  }
}

async function send(producer, topic, tags, bodies) {
  for (const body of bodies) {
    const message = new Message(topic, tags, body);
    message.keys = [`key-${body.slice(0, 20)}`];
    const result = await producer.send(message);
    assert.strictEqual(result.sendStatus, 'SEND_OK');
    assert.strictEqual(result.messageQueue.topic, topic);
    assert(result.queueOffset >= 0, `queue offset ${result.queueOffset}`);
    assert(result.msgId, 'a message id');
  }
}

const numbered = (prefix, count = MESSAGES) => Array.from({ length: count }, (_, n) => `${prefix} ${n}`);

const scenarios = {
  async send_and_consume(context) {
    const bodies = numbered('plain');
    await send(await context.topicProducer(), context.topic, 'a', bodies);
    const inbox = new Inbox(bodies.length);
    await context.consumer('all', '*', async message => inbox.add(message));
    await inbox.holds(bodies);
  },

  async tags(context) {
    const producer = await context.topicProducer();
    const wantedBodies = numbered('wanted', 20);
    await send(producer, context.topic, 'no', numbered('other', 20));
    await send(producer, context.topic, 'yes', wantedBodies);
    const inbox = new Inbox(wantedBodies.length);
    await context.consumer('tags', 'yes', async message => inbox.add(message));
    await inbox.holds(wantedBodies);
  },

  async unicode_and_large(context) {
    const bodies = ['\u00e4\u4f60\u597d\ud83d\ude80', 'x'.repeat(500000)];
    await send(await context.topicProducer(), context.topic, 'a', bodies);
    const inbox = new Inbox(bodies.length);
    await context.consumer('all', '*', async message => inbox.add(message));
    await inbox.holds(bodies);
  },

  async retry(context) {
    await send(await context.topicProducer(), context.topic, 'a', ['once', 'twice']);
    const seen = [];
    const inbox = new Inbox(2);
    await context.consumer('retry', '*', async message => {
      const body = message.body.toString();
      seen.push(`${body} ${message.reconsumeTimes}`);
      if (body === 'twice' && message.reconsumeTimes === 0) {
        throw new Error('to be brought again');
      }
      inbox.add(message);
    });
    await inbox.holds(['once', 'twice']);
    assert.deepStrictEqual(seen.sort(), ['once 0', 'twice 0', 'twice 1']);
  },
};

async function main() {
  const pattern = new RegExp(`^(?:${wanted || '.*'})$`);
  let passed = 0;
  let failed = 0;
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (!pattern.test(name)) {
      continue;
    }
    const context = new Context(name);
    const began = Date.now();
    try {
      await scenario(context);
      passed += 1;
      console.log(`PASS ${name} ${Date.now() - began}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}: ${String(error.message).split('\n')[0]}`);
      console.error(error);
    }
    await context.close().catch(error => console.error(error));
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

main();
