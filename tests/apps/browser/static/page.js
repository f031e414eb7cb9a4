// Fetches without a pause and keeps a WebSocket, and reports each step in a line, and whatever is lost.

const report = async (text) => {
  try {
    const response = await fetch("/report", { method: "POST", body: text });
    if ((await response.text()) !== text) throw new Error("another response");
  } catch {
    setTimeout(() => report(text), 100);
  }
};

// Chromium fails a request that it is about to send when it is told to leave (ERR_FAILED): such a one is fetched again, and the
// test looks whether the server has seen it.
const get = async (asked, options) => {
  try {
    return await fetch(`/echo?${asked}`, options);
  } catch (error) {
    report(`failed ${asked} ${error}`);
    return await fetch(`/echo?${asked}&again`, options);
  }
};

const fetches = async (name) => {
  for (let number = 0; ; number++) {
    const asked = `${name}=${number}`;
    const post = number % 2 === 1;
    try {
      const response = await get(asked, post ? { method: "POST", body: "body" } : {});
      const text = (await response.text()).replace("&again", "");
      if (response.status !== 200 || text !== asked + (post ? "body" : "")) {
        report(`lost: ${asked} was answered ${response.status} ${text}`);
      }
    } catch (error) {
      report(`lost: ${asked}: ${error}`);
    }
    if (number % 20 === 19) report("fetched 20");
  }
};

const join = () => {
  const socket = new WebSocket(`wss://${location.host}/ws`);
  let [sent, protocol] = [0, ""];
  socket.onmessage = ({ data }) => {
    if (!protocol) {
      protocol = data;
      report(`joined by ${data}`);
    } else if (data !== `message ${sent}`) {
      report(`lost: ${data} instead of message ${sent}`);
    } else if (++sent % 20 === 0) {
      report("sent 20");
    }
    setTimeout(() => socket.readyState === WebSocket.OPEN && socket.send(`message ${sent}`), 10);
  };
  socket.onclose = ({ code, wasClean }) => {
    report(`${wasClean ? "left" : "lost: a WebSocket, closed"} with ${code}`);
    join();
  };
};

const assets = () => {
  const background = getComputedStyle(document.body).backgroundColor;
  const image = document.images[0].naturalWidth;
  const protocols = performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol);
  const page = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  report(`loaded ${background} ${image} ${[page, ...protocols.slice(0, 3)].join(" ")}`);
};

window.onload = () => {
  assets();
  for (const name of ["a", "b", "c", "d"]) fetches(name);
  join();
};
