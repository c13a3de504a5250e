// Memory: what a tab keeps through a reload, a lock or a lost connection; of one reader, and gone with the tab.

const MOST = 400; // of each kind

export class Memory {
  constructor(reader) {
    this.prefix = `cxr ${reader} `;
    for (const name of this.names("cxr ")) {
      if (!name.startsWith(this.prefix)) sessionStorage.removeItem(name); // somebody else sat here before
    }
  }

  names(prefix) {
    try {
      return Object.keys(sessionStorage).filter((name) => name.startsWith(prefix));
    } catch (error) {
      return []; // a browser that keeps nothing
    }
  }

  get(name) {
    try {
      return JSON.parse(sessionStorage.getItem(this.prefix + name));
    } catch (error) {
      return null;
    }
  }

  set(name, value) {
    try {
      sessionStorage.setItem(this.prefix + name, JSON.stringify(value));
    } catch (error) {
      this.forgetLooks(); // it is full: how films were looked at goes first
    }
  }

  remove(name) {
    try {
      sessionStorage.removeItem(this.prefix + name);
    } catch (error) {
      // nothing was kept
    }
  }

  // Ids of what is kept of one kind, such as "draft".
  kept(kind) {
    const start = `${this.prefix}${kind} `;
    return this.names(start).map((name) => name.slice(start.length));
  }

  setLook(id, look) {
    this.set(`look ${id}`, look);
    const looks = this.kept("look");
    if (looks.length > MOST) looks.slice(0, looks.length - MOST).forEach((one) => this.remove(`look ${one}`));
  }

  forgetLooks() {
    this.kept("look").forEach((one) => this.remove(`look ${one}`));
  }
}
