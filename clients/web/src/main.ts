import { mount } from "svelte";

import App from "./App.svelte";
import { openOffline } from "./lib/offline";
import { language } from "./lib/texts";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/overlays.css";

document.documentElement.lang = language;
mount(App, { target: document.getElementById("app")! });
openOffline();
