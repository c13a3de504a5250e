// Window keys: an owner's keys, heard before any element has them, from its beginning to its end.

export class WindowKeys {
  constructor(owner) {
    this.onKey = (event) => this.pressed(event);
    this.onUp = (event) => {
      if (event.key === " ") owner.spaced = false;
    };
    window.addEventListener("keydown", this.onKey, true);
    window.addEventListener("keyup", this.onUp, true);
  }

  remove() {
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("keyup", this.onUp, true);
  }
}
